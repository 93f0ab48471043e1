// How a scenario runs: a sandbox of its own, what it is told to do wrong, the client, and in the end
// the checks that hold for every scenario.

import assert from 'node:assert/strict';

import { recorded } from './compare.mjs';
import { OfficialClient } from './official.mjs';
import { Sandbox } from './sandbox.mjs';

/** Hosts that Chromium asks for its own purposes, whatever its flags. */
const BROWSERS_OWN = /(^|\.)(google|googleapis|gstatic|gvt1)\.com$/;

/**
 * Runs a scenario with a client, `OfficialClient` or `CommandClient`; gives what the sandbox recorded.
 *
 * A scenario is an object: `id`; `shows`, what it shows; `product` of `OfficialClient.open`; `keepaliveS`
 * of `Sandbox.start`; `flags`, more arguments of our command; `clock`, whether time in the page is moved forward; `prepare(sandbox)`, before the
 * client starts; `run({sandbox, client})`, which ends when there is nothing more to happen;
 * `official({sandbox, client})`, what is to be seen of the official client;
 * `ours({sandbox, client})`, if anything, of ours.
 *
 * With `mutation` the sandbox is wrong in that way; with `patienceMs` the client is not waited for as long.
 */
export async function run(scenario, Client, { mutation, patienceMs } = {}) {
  const sandbox = await Sandbox.start(scenario);
  let client;
  try {
    if (mutation) await sandbox.mutate(mutation);
    await scenario.prepare?.(sandbox);
    client = await Client.open(sandbox, scenario);
    client.reports.patienceMs = patienceMs ?? client.reports.patienceMs;
    await scenario.run({ sandbox, client });
    const isOfficial = Client === OfficialClient;
    if (!isOfficial) await scenario.ours?.({ sandbox, client });
    const record = await recorded(sandbox);
    if (isOfficial) await scenario.official({ sandbox, client });
    await everythingWasServed(sandbox);
    return record;
  } catch (error) {
    // What the client said explains most failures.
    error.message += `\nreported: ${JSON.stringify(client?.reports.all)}`;
    throw error;
  } finally {
    await client?.close();
    await sandbox.stop();
  }
}

/** The name of a scenario's test. */
export function title({ id, shows }) {
  return `${id}: ${shows}`;
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
