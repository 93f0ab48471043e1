import scenarios from './happy.mjs';
import { testOfficial } from '../lib/scenario.mjs';

testOfficial(scenarios);
