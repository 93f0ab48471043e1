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

import { webexBinary } from './tools.mjs';

/** How long a condition may take to come true, seconds. Generous: the machine may be busy. */
const PATIENCE_S = 30;

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
    const call = request(`${this.origin}/sandbox${path}`, { method, agent: this.#agent });
    call.end(body === undefined ? undefined : JSON.stringify(body));
    const [answer] = await once(call, 'response');
    const text = (await answer.setEncoding('utf8').toArray()).join('');
    if (answer.statusCode >= 400) {
      throw new Error(`${method} /sandbox${path}: ${answer.statusCode} ${text}`);
    }
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Scripts a misbehaviour, for example `{target: 'mobius.register', status: 503, times: 1}`. */
  async fail(fault) {
    return (await this.ask('POST', '/faults', fault)).id;
  }

  async clearFaults() {
    await this.ask('DELETE', '/faults');
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
