// Our own client, as a user runs it: `webex register --json`. It answers to the same calls as the
// official client of `official.mjs`, so that a scenario can run with either.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { Reports } from './reports.mjs';
import { webexBinary } from './tools.mjs';

/** What to register; without a flag it is both. */
const FLAGS = { meetings: ['--meetings'], calling: ['--calling'], both: [] };

export class CommandClient {
  #process;
  #exit;

  /** What the command printed, in order. */
  reports = new Reports('webex register');

  static async open(sandbox, { product, flags: more = [] }) {
    const client = new CommandClient();
    const flags = ['--json', ...FLAGS[product], ...more, '--cloud', sandbox.origin, '--ca', sandbox.caFile];
    const child = spawn(await webexBinary(), ['register', ...flags], {
      env: { ...process.env, WEBEX_ACCESS_TOKEN: sandbox.token },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    client.#process = child;
    client.#exit = once(child, 'close').then(([code]) => client.reports.end(`exit code ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => client.#heard(line));
    }
    return client;
  }

  #heard(line) {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      this.reports.add('remark', line);
      return;
    }
    this.reports.add(event.event, event.error ?? event, event.t_ms);
  }

  get events() {
    return this.reports.names;
  }

  async until(name) {
    return this.reports.until(name);
  }

  /** Ctrl-C; after a failure it deregisters and ends by itself. */
  async leave({ failed = false } = {}) {
    if (!failed) this.#process.kill('SIGINT');
    await this.#exit;
  }

  async close() {
    this.#process.kill('SIGKILL');
    await this.#exit;
  }
}
