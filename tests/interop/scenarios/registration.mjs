// Registrations that the cloud refuses.

import assert from 'node:assert/strict';

import { nothingLeft } from '../lib/scenario.mjs';

/** A primary and a backup, in place of two of each. */
const SHORT_LISTS = {
  target: 'mobius.discovery',
  merge: {
    primary: { uris: ['https://mobius-us-east-1.prod.infra.webex.com/api/v1'] },
    backup: { uris: ['https://mobius-eu-central-1.prod.infra.webex.com/api/v1'] },
  },
};

/** Seconds. Ours makes room among its own devices that nobody has used for longer than this. */
const DAY_S = 24 * 60 * 60;

/** Longest wait between two rounds over the primaries, seconds. */
const LONGEST_WAIT_S = 48;

/** Where the client was sent and how it was answered, for example `primary-1 503`. */
async function registrations(sandbox) {
  const requests = await sandbox.requests({ target: 'mobius.register' });
  return requests.map(({ instance, status }) => `${instance} ${status}`);
}

/** What the line reported. (Requests the page's clock has overtaken are errors of the page.) */
const lineEvents = (client) =>
  client.events.filter((name) => !/^(ready|left|online|offline.*|pageerror)$/.test(name));

export const deviceLimit = {
  id: 'line-403-101',
  shows: 'the newest client takes the place of the other',
  product: 'calling',
  keepaliveS: 30,
  // What the official client always does; ours asks first.
  flags: ['--on-device-limit', 'take-over'],
  async prepare(sandbox) {
    await sandbox.otherLine();
    await sandbox.policies({ mobius: { line_limit: 1 } });
    await sandbox.clearLog();
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await sandbox.until({ lines: 1 });
    await client.leave();
    await sandbox.until({ lines: 0, sockets: 0, devices: 1 });
  },
  async official({ sandbox, client }) {
    const events = ['connecting', 'unregistered', 'registered', 'unregistered'];
    assert.deepEqual(lineEvents(client), events);
    const answers = await sandbox.answers('mobius');
    const taken = ['GET 200', 'POST 403', 'DELETE 200', 'POST 200'];
    assert.deepEqual(answers.slice(0, 4), taken);
  },
};

export const notConfigured = {
  id: 'line-403-102',
  shows: 'a user without calling gets the error',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.becomeUser({ webrtc_calling: false });
  },
  async run({ sandbox, client }) {
    await client.until('error');
    await client.leave({ failed: true });
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.deepEqual(lineEvents(client), ['connecting', 'error']);
    assert.equal(client.reports.first('error').detail.type, 'forbidden');
    assert.deepEqual(await registrations(sandbox), ['primary-1 403']);
  },
};

export const unauthorized = {
  id: 'line-401',
  shows: 'a token that cannot be renewed is final',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.fail({ target: 'mobius.register', status: 401 });
  },
  async run({ sandbox, client }) {
    await client.until('error');
    await client.leave({ failed: true });
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.deepEqual(lineEvents(client), ['connecting', 'error']);
    assert.equal(client.reports.first('error').detail.type, 'token_error');
    assert.deepEqual(await registrations(sandbox), ['primary-1 401']);
  },
};

export const secondPrimary = {
  id: 'line-503',
  shows: 'the next primary takes the line',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.fail({ target: 'mobius.register', instance: 'primary-1', status: 503 });
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const events = ['connecting', 'unregistered', 'registered', 'unregistered'];
    assert.deepEqual(lineEvents(client), events);
    assert.deepEqual(await registrations(sandbox), ['primary-1 503', 'primary-2 200']);
  },
};

export const failover = {
  id: 'line-503-failover',
  shows: 'after 84 to 114 s without a primary, the backup takes the line',
  product: 'calling',
  clock: true,
  async prepare(sandbox) {
    await sandbox.fail(SHORT_LISTS);
    await sandbox.fail({ target: 'mobius.register', instance: 'primary-1', status: 503 });
  },
  async run({ sandbox, client }) {
    this.rounds = 0;
    // After each round the client plans the next one; then it is taken there.
    while (!(await client.plannedOrRegistered(this.rounds))) {
      this.rounds += 1;
      await client.skip(LONGEST_WAIT_S);
    }
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const all = await registrations(sandbox);
    assert.equal(all.pop(), 'backup-1 200');
    // The last plan is for the backup, which is asked at once.
    assert.ok(all.length === 3 || all.length === 4, `${all.length} rounds over the primary`);
    assert.deepEqual(all, all.map(() => 'primary-1 503'));
    const failed = all.map(() => 'unregistered');
    const events = ['connecting', ...failed, 'registered', 'unregistered'];
    assert.deepEqual(lineEvents(client), events);
    const [start, end] = ['connecting', 'registered'].map((name) => client.reports.first(name).at);
    assert.ok(end - start >= 84_000 && end - start <= 160_000, `${end - start} ms in the page`);
  },
};

export const rateLimited = {
  id: 'line-429',
  shows: 'a short Retry-After is waited for without an event',
  product: 'calling',
  clock: true,
  async prepare(sandbox) {
    const headers = { 'Retry-After': '5' };
    await sandbox.fail({ target: 'mobius.register', status: 429, headers, times: 2 });
  },
  async run({ sandbox, client }) {
    assert.equal(await client.plannedOrRegistered(0), false);
    this.quiet = client.events.at(-1);
    await client.skip(LONGEST_WAIT_S);
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.equal(this.quiet, 'connecting');
    assert.deepEqual(lineEvents(client), ['connecting', 'registered', 'unregistered']);
    const answers = ['primary-1 429', 'primary-2 429', 'primary-1 200'];
    assert.deepEqual(await registrations(sandbox), answers);
  },
};

export const rateLimitedLong = {
  id: 'line-429-long',
  shows: 'a Retry-After beyond the failover threshold leads to the backup at once',
  product: 'calling',
  async prepare(sandbox) {
    const headers = { 'Retry-After': '120' };
    for (const instance of ['primary-1', 'primary-2']) {
      await sandbox.fail({ target: 'mobius.register', instance, status: 429, headers });
    }
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.deepEqual(lineEvents(client), ['connecting', 'registered', 'unregistered']);
    const answers = ['primary-1 429', 'primary-2 429', 'backup-1 200'];
    assert.deepEqual(await registrations(sandbox), answers);
  },
};

export const excessiveDevices = {
  id: 'device-403',
  shows: 'with excessive devices the oldest make room',
  product: 'meetings',
  async prepare(sandbox) {
    this.others = [];
    for (let n = 0; n < 4; n += 1) {
      this.others.push((await sandbox.forgottenDevice((4 - n) * 2 * DAY_S)).url);
    }
    await sandbox.policies({ wdm: { device_limit: 4 } });
    await sandbox.clearLog();
  },
  async run({ sandbox, client }) {
    await client.until('meetings:registered');
    await sandbox.until({ target: 'wdm.unregister', requests: 2 });
    await client.leave();
    await sandbox.until({ devices: 2, sockets: 0 });
  },
  async official({ sandbox }) {
    const answers = await sandbox.answers('wdm');
    assert.deepEqual(answers.slice(0, 2), ['POST 403', 'GET 200']);
    assert.deepEqual(answers.slice(2, 5).sort(), ['DELETE 204', 'DELETE 204', 'POST 200']);
    const deleted = (await sandbox.requests({ target: 'wdm.unregister' })).map(({ path }) => path);
    const oldest = this.others.slice(0, 2).map((url) => new URL(url).pathname);
    assert.deepEqual(deleted.slice(0, 2).sort(), oldest.sort());
  },
};

export default [
  deviceLimit,
  notConfigured,
  unauthorized,
  secondPrimary,
  failover,
  rateLimited,
  rateLimitedLong,
  excessiveDevices,
];
