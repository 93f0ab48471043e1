// A sandbox process of its own for each scenario, and its control API.
//
// `webex sandbox` writes its certificate and token to a scratch folder; the origin is read from what
// it prints. Everything a scenario sets or asks goes over HTTP to `/sandbox/…`, as from any language.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

import { webexBinary } from './tools.mjs';

/** How long a condition may take to come true, seconds. Generous: the machine may be busy. */
const PATIENCE_S = 30;

/** Between two looks at a state that the control API cannot wait for, milliseconds. */
const POLL_MS = 20;

export class Sandbox {
  #process;
  #agent;
  #folder;

  /** Starts one on a free port. `keepaliveS`: what Mobius asks lines for, whole seconds. */
  static async start({ keepaliveS = 1 } = {}) {
    const sandbox = new Sandbox();
    sandbox.#folder = await mkdtemp(join(tmpdir(), 'interop-'));
    sandbox.caFile = join(sandbox.#folder, 'ca.pem');
    const tokenFile = join(sandbox.#folder, 'token');
    const child = spawn(
      await webexBinary(),
      ['sandbox', '--listen', '127.0.0.1:0', '--keepalive-interval', String(keepaliveS)]
        .concat(['--ca-out', sandbox.caFile, '--token-out', tokenFile]),
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    sandbox.#process = child;
    sandbox.origin = new URL(await printedOrigin(child)).origin;
    sandbox.port = Number(new URL(sandbox.origin).port);
    sandbox.token = (await readFile(tokenFile, 'utf8')).trim();
    sandbox.#agent = new Agent({ ca: await readFile(sandbox.caFile), keepAlive: true });
    sandbox.user = (await sandbox.ask('GET', '')).default_user;
    return sandbox;
  }

  /** One call of the control API; `path` without `/sandbox`. */
  async ask(method, path, body) {
    return this.#send(method, `/sandbox${path}`, {}, body);
  }

  /** A request to a service in the name of the user, as by a client of its own. */
  async serve(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' };
    return this.#send(method, path, headers, body);
  }

  async #send(method, path, headers, body) {
    const call = request(this.origin + path, { method, headers, agent: this.#agent });
    call.end(body === undefined ? undefined : JSON.stringify(body));
    const [answer] = await once(call, 'response');
    const text = (await answer.setEncoding('utf8').toArray()).join('');
    if (answer.statusCode >= 400) {
      throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    }
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Scripts a misbehaviour, for example `{target: 'mobius.register', status: 503, times: 1}`. */
  async fail(fault) {
    return (await this.ask('POST', '/faults', fault)).id;
  }

  /** Makes a user and uses that one from now on; `user` as the control API takes it. */
  async becomeUser(user) {
    this.user = await this.ask('POST', '/users', user);
    this.token = this.user.token;
  }

  /** Changes rules, for example `{wdm: {device_limit: 5}}`. */
  async policies(change) {
    await this.ask('PATCH', '/policies', change);
  }

  /** Switches one way of being wrong on. */
  async mutate(name) {
    await this.ask('PUT', '/mutations', { [name]: true });
  }

  /** Pushes an event to every socket of the default user. */
  async push(data) {
    const { sockets } = await this.ask('POST', `/users/${this.user.id}/events`, data);
    if (sockets === 0) throw new Error('no socket to push the event to');
  }

  /** Registers a device of the user that is not the client's; gives the device. */
  async otherDevice(name = 'another client') {
    const names = ['model', 'localizedModel', 'systemName', 'systemVersion'];
    const device = Object.fromEntries(names.map((field) => [field, 'another client']));
    return this.serve('POST', '/wdm/api/v1/devices', { ...device, name, deviceType: 'WEB' });
  }

  /** The same, as another run of our client left it so many seconds ago. */
  async forgottenDevice(ago) {
    const device = await this.otherDevice('webex-native');
    await this.ask('PATCH', `/devices/${device.url.split('/').at(-1)}`, { unused_s: ago });
    return device;
  }

  /** Registers a line of the user that is not the client's, at the first primary. */
  async otherLine() {
    const { url, userId } = await this.otherDevice();
    const serviceData = { indicator: 'calling', domain: '' };
    const path = '/mobius/primary-1/api/v1/calling/web/device';
    return this.serve('POST', path, { userId, clientDeviceUri: url, serviceData });
  }

  /** Forgets the requests so far, those of the preparation. */
  async clearLog() {
    await this.ask('DELETE', '/requests');
  }

  async sockets() {
    return this.ask('GET', '/sockets');
  }

  /** Tells the one open socket what to do, for example `{do: 'close', code: 1001}`. */
  async command(what) {
    const [socket, ...others] = await this.sockets();
    if (!socket || others.length) throw new Error(`${others.length + 1} sockets, not one`);
    await this.ask('POST', `/sockets/${socket.id}`, what);
  }

  async closedSockets() {
    return this.ask('GET', '/sockets/closed');
  }

  /** The request log; `selection` as the control API takes it, for example `{target: 'wdm'}`. */
  async requests(selection = {}) {
    return this.ask('GET', `/requests?${new URLSearchParams(selection)}`);
  }

  /** How requests were answered, for example `['POST 503', 'POST 200']`. */
  async answers(target, selection = {}) {
    const requests = await this.requests({ target, ...selection });
    return requests.map(({ method, status }) => `${method} ${status}`);
  }

  /** Waits until a condition of the control API holds, for example `{lines: 1}`. */
  async until(condition) {
    const query = new URLSearchParams({ timeout_s: PATIENCE_S, ...condition });
    try {
      await this.ask('GET', `/wait?${query}`);
    } catch (cause) {
      const log = (await this.requests()).map((r) => `${r.method} ${r.path} ${r.status}`);
      throw new Error(`never: ${JSON.stringify(condition)}; log:\n${log.join('\n')}`, { cause });
    }
  }

  /**
   * Waits until one socket is open, all that was sent on it is acknowledged, at least `frames` frames,
   * and `closed` others have ended: then the client knows what the sandbox knows.
   */
  async socketInUse({ frames = 1, closed = 0 } = {}) {
    const deadline = Date.now() + PATIENCE_S * 1000;
    for (;;) {
      const [sockets, ended] = [await this.sockets(), await this.closedSockets()];
      const [socket] = sockets;
      const inUse = sockets.length === 1 && socket.sequence_number >= frames;
      if (inUse && socket.unacknowledged.length === 0 && ended.length >= closed) return;
      if (Date.now() > deadline) throw new Error(`not in use: ${JSON.stringify(sockets)}`);
      await pause(POLL_MS);
    }
  }

  async stop() {
    this.#agent?.destroy();
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await once(this.#process, 'exit');
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function printedOrigin(child) {
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    const found = line.match(/^\s*origin\s+(\S+)/);
    if (found) {
      child.stdout.resume();
      return found[1];
    }
  }
  throw new Error('`webex sandbox` ended without saying where it listens');
}
