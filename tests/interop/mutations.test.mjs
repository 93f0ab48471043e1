// A test of the tests: when the sandbox is wrong, the scenarios must fail, and for that reason.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { OfficialClient } from './lib/official.mjs';
import { run } from './lib/scenario.mjs';
import { calling, meetings } from './scenarios/happy.mjs';

/** Several times what the scenarios take before the report that never comes here. */
const PATIENCE_MS = 12_000;

const MUTATIONS = [
  {
    mutation: 'wrong_first_frame',
    scenario: meetings,
    // The socket opens, and is never taken for authorized.
    missing: 'meetings:registered',
    absent: 'online',
  },
  {
    mutation: 'missing_cors',
    scenario: meetings,
    // The browser keeps every answer from the page.
    missing: 'meetings:registered',
    absent: 'online',
  },
  {
    mutation: 'catalog_without_mobius_ids',
    scenario: calling,
    // No cluster to ask: there is a socket, but no line is tried.
    missing: 'registered',
    absent: 'connecting',
  },
];

describe('a wrong sandbox is noticed', { concurrency: 2 }, () => {
  for (const { mutation, scenario, missing, absent } of MUTATIONS) {
    it(mutation, { timeout: 60_000 }, async () => {
      await assert.rejects(
        run(scenario, OfficialClient, { mutation, patienceMs: PATIENCE_MS }),
        (error) => {
          assert.match(error.message, new RegExp(`never reported ${missing} `));
          assert.doesNotMatch(error.message, new RegExp(`"name":\\s*"${absent}"`));
          return true;
        },
      );
    });
  }
});
