// Every scenario with the official client; then with ours, and the two side by side.
//
// The differences that `docs/interop.md` lists are all there may be, and all of them must be there.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { CommandClient } from './lib/command.mjs';
import { differences } from './lib/compare.mjs';
import * as listed from './lib/listed.mjs';
import { OfficialClient } from './lib/official.mjs';
import { run, title } from './lib/scenario.mjs';
import scenarios from './scenarios/all.mjs';

/** Two run at a time: most of each is waiting. */
const SUITE = { concurrency: 2 };
const TEST = { timeout: 120_000 };

const compared = scenarios.filter(({ id }) => !listed.notCompared.some(([other]) => other === id));
const records = new Map();
const used = new Set();

async function official(scenario) {
  if (!records.has(scenario.id)) records.set(scenario.id, await run(scenario, OfficialClient));
  return records.get(scenario.id);
}

describe('the official client', SUITE, () => {
  for (const scenario of scenarios) it(title(scenario), TEST, () => official(scenario));
});

describe('side by side', SUITE, () => {
  for (const scenario of compared) {
    it(title(scenario), TEST, async () => {
      const found = differences(await official(scenario), await run(scenario, CommandClient));
      const unlisted = found.filter((difference) => {
        const rows = listed.differences.filter((row) => listed.covers(row, scenario.id, difference));
        rows.forEach((row) => used.add(row));
        return rows.length === 0;
      });
      assert.deepEqual(unlisted, [], 'differences that docs/interop.md does not list');
    });
  }
});

describe('docs/interop.md', () => {
  it('lists no difference that is gone', (test) => {
    if (records.size < compared.length) {
      test.skip('only some scenarios were run');
      return;
    }
    const gone = listed.differences.filter((row) => !used.has(row));
    assert.deepEqual(gone, []);
  });

  it('lists every scenario', () => {
    const rows = scenarios.map(({ id, shows, product }) => [id, product, shows]);
    assert.deepEqual(listed.scenarios, rows);
    for (const [id] of listed.notCompared) assert.ok(rows.some(([other]) => other === id), id);
  });
});
