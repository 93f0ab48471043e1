// Every scenario.

import happy from './happy.mjs';
import registration from './registration.mjs';
import staying from './staying.mjs';

export default [...happy, ...registration, ...staying];
