// Every scenario with the official client.

import happy from './happy.mjs';
import registration from './registration.mjs';
import staying from './staying.mjs';
import { testOfficial } from '../lib/scenario.mjs';

testOfficial([...happy, ...registration, ...staying]);
