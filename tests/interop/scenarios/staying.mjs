// Registrations that are lost, or nearly, while they last: keepalives and sockets.

import assert from 'node:assert/strict';

import { nothingLeft } from '../lib/scenario.mjs';

const lineEvents = (client) =>
  client.events.filter((name) => !/^(ready|left|online|offline.*)$/.test(name));

const times = (n, what) => Array(n).fill(what);

export const keepaliveNotFound = {
  id: 'keepalive-404',
  shows: 'the line is registered again',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.fail({ target: 'mobius.status', status: 404, skip: 1, times: 1 });
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await client.until('error');
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const lost = ['connecting', 'registered', 'error', 'unregistered', 'registered'];
    assert.deepEqual(lineEvents(client), [...lost, 'unregistered']);
    assert.equal(client.reports.first('error').detail.type, 'not_found');
    const answers = await sandbox.answers('mobius');
    assert.deepEqual(answers.slice(1, 5), ['POST 200', 'POST 200', 'POST 404', 'POST 200']);
  },
};

export const keepaliveMissed = {
  id: 'keepalive-503',
  shows: 'two lost keepalives are survived',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.fail({ target: 'mobius.status', status: 503, times: 2 });
  },
  async run({ sandbox, client }) {
    await client.until('reconnected');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const events = ['connecting', 'registered', 'reconnecting', 'reconnecting', 'reconnected'];
    assert.deepEqual(lineEvents(client), [...events, 'unregistered']);
    const answers = (await sandbox.answers('mobius.status')).slice(0, 3);
    assert.deepEqual(answers, ['POST 503', 'POST 503', 'POST 200']);
  },
};

export const keepaliveThreshold = {
  id: 'keepalive-503-five',
  shows: 'after five in a row the line is registered again',
  product: 'calling',
  async prepare(sandbox) {
    await sandbox.fail({ target: 'mobius.status', status: 503, times: 5 });
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await client.until('registered');
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const missed = times(4, 'reconnecting');
    const events = ['connecting', 'registered', ...missed, 'unregistered', 'registered'];
    assert.deepEqual(lineEvents(client), [...events, 'unregistered']);
    assert.deepEqual(await sandbox.answers('mobius.register'), times(2, 'POST 200'));
    assert.deepEqual((await sandbox.answers('mobius.status')).slice(0, 5), times(5, 'POST 503'));
  },
};

export const keepaliveRateLimited = {
  id: 'keepalive-429',
  shows: 'keepalives pause for Retry-After and go on',
  product: 'calling',
  async prepare(sandbox) {
    const headers = { 'Retry-After': '2' };
    await sandbox.fail({ target: 'mobius.status', status: 429, headers, times: 1 });
    // Enough patience that the pause does not end the line.
    await sandbox.policies({ mobius: { missed_keepalives: 10 } });
  },
  async run({ sandbox, client }) {
    await client.until('registered');
    await sandbox.until({ target: 'mobius.status', status: 200, requests: 2 });
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    // It is never told that the line is well again.
    assert.deepEqual(lineEvents(client), [
      'connecting',
      'registered',
      'reconnecting',
      'unregistered',
    ]);
    const [limited, next] = await sandbox.requests({ target: 'mobius.status' });
    assert.equal(limited.status, 429);
    // The pause, and then a whole interval.
    assert.ok(next.at_ms - limited.at_ms >= 2_900, `${next.at_ms - limited.at_ms} ms`);
  },
};

export const socketClosed = {
  id: 'socket-1001',
  shows: 'a new socket for the same device',
  product: 'meetings',
  async run({ sandbox, client }) {
    await client.until('meetings:registered');
    await sandbox.socketInUse();
    await sandbox.command({ do: 'close', code: 1001, reason: 'going away' });
    await sandbox.socketInUse({ closed: 1 });
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.deepEqual(client.events.slice(0, 6), [
      'meetings:ready',
      'online',
      'meetings:registered',
      'network:disconnected',
      'offline.transient',
      'online',
    ]);
    assert.deepEqual(await sandbox.answers('wdm'), ['POST 200', 'DELETE 204']);
    const [first, second] = await sandbox.closedSockets();
    assert.equal(first.device_id, second.device_id);
  },
};

export const switchover = {
  id: 'socket-shutdown',
  shows: 'the new socket is there before the old one goes',
  product: 'meetings',
  async run({ sandbox, client }) {
    await client.until('meetings:registered');
    await sandbox.socketInUse();
    await sandbox.command({ do: 'shutdown' });
    await sandbox.socketInUse({ closed: 1 });
    await client.leave();
    await sandbox.until({ devices: 0 });
  },
  async official({ sandbox, client }) {
    const switching = client.events.slice(3, 6).sort();
    assert.deepEqual(switching, [
      'event:mercury_shutdown_imminent',
      'event:mercury_shutdown_switchover_complete',
      'offline.replaced',
    ]);
    // Meetings never hears of it: there was always a socket.
    assert.ok(!client.events.includes('network:disconnected'));
    const [old] = await sandbox.closedSockets();
    // It has lost sight of the new socket when the old one ended, and leaves it open.
    const [current] = await sandbox.sockets();
    assert.deepEqual(old.closed, { by: 'server', code: 4001, reason: 'shutdown' });
    assert.ok(current.opened < old.closed_at, 'opened before the old one was closed');
  },
  async ours({ sandbox }) {
    await nothingLeft(sandbox);
    const [old, current] = await sandbox.closedSockets();
    assert.ok(current.opened < old.closed_at, 'opened before the old one was closed');
  },
};

export default [
  keepaliveNotFound,
  keepaliveMissed,
  keepaliveThreshold,
  keepaliveRateLimited,
  socketClosed,
  switchover,
];
