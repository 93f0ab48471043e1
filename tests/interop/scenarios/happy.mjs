// Everything goes well: registering each product, and leaving.

import assert from 'node:assert/strict';

import { lastClose, nothingLeft } from '../lib/scenario.mjs';

/** Frames of a type that a socket got from the client. */
const received = (socket, type) => socket.received.filter((frame) => frame.type === type);

export const meetings = {
  id: 'meetings',
  shows: 'register and unregister',
  product: 'meetings',
  async run({ sandbox, client }) {
    await client.until('meetings:registered');
    await sandbox.socketInUse();
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    assert.deepEqual(client.events, [
      'meetings:ready',
      'online',
      'meetings:registered',
      'network:disconnected',
      'offline.permanent',
      'meetings:unregistered',
      'left',
    ]);
    assert.deepEqual(await sandbox.answers('wdm'), ['POST 200', 'DELETE 204']);
    const close = { by: 'client', code: 3050, reason: 'meetings unregister' };
    assert.deepEqual(await lastClose(sandbox), close);
    const sockets = await sandbox.closedSockets();
    assert.equal(sockets.length, 1);
    const [authorization, ack, ping] = sockets[0].received;
    assert.deepEqual([authorization.type, ack.type, ping.type], ['authorization', 'ack', 'ping']);
    assert.deepEqual(sockets[0].unacknowledged, []);
  },
};

export const calling = {
  id: 'calling',
  shows: 'register a line, three keepalives, deregister',
  product: 'calling',
  async run({ sandbox, client }) {
    await client.until('registered');
    await sandbox.until({ target: 'mobius.status', requests: 3, status: 200 });
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    const events = ['ready', 'online', 'connecting', 'registered', 'offline.permanent'];
    assert.deepEqual(client.events.filter((e) => e !== 'unregistered'), [...events, 'left']);
    // The bundle does not wait for the line before it closes the socket.
    assert.equal(client.events.filter((e) => e === 'unregistered').length, 1);
    const answers = await sandbox.answers('mobius');
    assert.deepEqual(answers.slice(0, 5), ['GET 200', ...Array(4).fill('POST 200')]);
    assert.equal(answers.at(-1), 'DELETE 200');
    assert.deepEqual(await lastClose(sandbox), { by: 'client', code: 1000, reason: 'Done' });
    const line = await client.line();
    assert.equal(line.keepaliveInterval, 1);
    assert.deepEqual(line.sipAddresses, [sandbox.user.sip_address]);
    assert.equal(line.status, 'IDLE');
  },
};

export const both = {
  id: 'both',
  shows: 'one device and one socket serve meetings and a line',
  product: 'both',
  async run({ sandbox, client }) {
    await client.until('registered');
    await sandbox.until({ devices: 1, authorized_sockets: 1, lines: 1 });
    await sandbox.until({ target: 'mobius.status', requests: 1 });
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ sandbox, client }) {
    for (const event of ['meetings:registered', 'registered', 'unregistered', 'meetings:unregistered']) {
      assert.equal(client.events.filter((e) => e === event).length, 1, event);
    }
    assert.deepEqual(await sandbox.answers('wdm'), ['POST 200', 'DELETE 204']);
    assert.equal((await sandbox.closedSockets()).length, 1);
    assert.equal(received((await sandbox.closedSockets())[0], 'authorization').length, 1);
  },
};

export const event = {
  id: 'event',
  shows: 'an event on the socket reaches the application and is acknowledged',
  product: 'meetings',
  async run({ sandbox, client }) {
    await client.until('meetings:registered');
    await sandbox.socketInUse();
    await sandbox.push({ eventType: 'sandbox.greeting' });
    // The first frame, the answer to the first ping, and the event.
    await sandbox.socketInUse({ frames: 3 });
    await client.leave();
    await nothingLeft(sandbox);
  },
  async official({ client }) {
    assert.ok(client.events.includes('event:sandbox.greeting'));
  },
};

export default [meetings, calling, both, event];
