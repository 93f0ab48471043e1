// How a scenario runs: a sandbox of its own, what it is told to do wrong, the client, and in the end
// the checks that hold for every scenario.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { OfficialClient } from './official.mjs';
import { Sandbox } from './sandbox.mjs';

/** Hosts that Chromium asks for its own purposes, whatever its flags. */
const BROWSERS_OWN = /(^|\.)(google|googleapis|gstatic|gvt1)\.com$/;

/**
 * Runs one scenario with the official client.
 *
 * A scenario is an object: `name`; `product` of `OfficialClient.open`; `clock`, whether time in the
 * page is moved forward; `prepare(sandbox)`, before the client starts; `run({sandbox, client})`, which
 * ends when there is nothing more to happen; `official({sandbox, client})`, its checks.
 */
export async function runOfficial(scenario, mutation) {
  const sandbox = await Sandbox.start();
  let client;
  try {
    if (mutation) await sandbox.mutate(mutation);
    await scenario.prepare?.(sandbox);
    client = await OfficialClient.open(sandbox, scenario);
    await scenario.run({ sandbox, client });
    await scenario.official({ sandbox, client });
    await everythingWasServed(sandbox);
  } catch (error) {
    // What the client said explains most failures.
    error.message += `\nreported: ${JSON.stringify(client?.reports.all)}`;
    throw error;
  } finally {
    await client?.close();
    await sandbox.stop();
  }
}

/** Makes a test of each scenario. Two run at a time: most of each is waiting. */
export function testOfficial(scenarios) {
  describe('the official client', { concurrency: 2 }, () => {
    for (const scenario of scenarios) {
      it(scenario.name, { timeout: 120_000 }, () => runOfficial(scenario));
    }
  });
}

/** Nothing is left of the client. */
export async function nothingLeft(sandbox) {
  await sandbox.until({ devices: 0, sockets: 0, lines: 0 });
}

/** How the client closed its last socket. */
export async function lastClose(sandbox) {
  return (await sandbox.closedSockets()).at(-1).closed;
}

async function everythingWasServed(sandbox) {
  const unknown = (await sandbox.requests({ target: 'other.unknown' }))
    .filter(({ host }) => !BROWSERS_OWN.test(host))
    .map(({ method, host, path }) => `${method} ${host}${path}`);
  assert.deepEqual(unknown, [], 'the client asked for what the sandbox does not serve');
}
