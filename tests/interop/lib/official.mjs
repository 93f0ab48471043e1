// The unmodified official client in headless Chromium.
//
// Each client has a browser of its own with a fresh profile, in which every host name but localhost
// leads to the sandbox's port. The page comes from a small server on localhost that hands out three
// files: the page, its script, and the bundle of the official package as npm installed it. What the
// client reports arrives here in order, as `{name, detail}`.

import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { chromium as playwright } from 'playwright-core';

import { Reports } from './reports.mjs';
import { SUITE, bundle, chromium } from './tools.mjs';

/** Flags that keep Chromium from talking to anybody but the sandbox. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
];

/** The bundles a product needs. */
const BUNDLES = {
  meetings: ['meetings.min.js'],
  calling: ['calling.min.js'],
  both: ['meetings.min.js', 'calling.min.js'],
};

export class OfficialClient {
  #browser;
  #server;
  #page;
  #user;

  /** What the client reported, in order. */
  reports = new Reports('the official client');

  /**
   * Opens a page whose client registers a product: `meetings`, `calling` or `both`. With `clock`, the
   * page's timers can be moved forward by `skip`; those of its workers run in real time.
   */
  static async open(sandbox, { product, clock = false }) {
    const client = new OfficialClient();
    try {
      await client.#start(sandbox, product, clock);
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  async #start(sandbox, product, clock) {
    this.#user = sandbox.user;
    this.#server = createServer((request, response) => serve(product, request, response));
    this.#server.listen(0, 'localhost');
    await once(this.#server, 'listening');
    this.#browser = await playwright.launch({
      executablePath: await chromium(),
      args: [...FLAGS, `--host-resolver-rules=MAP * 127.0.0.1:${sandbox.port}, EXCLUDE localhost`],
    });
    this.#page = await this.#browser.newPage();
    this.#page.on('pageerror', (error) => this.reports.add('pageerror', String(error)));
    const report = (name, detail, at) => this.reports.add(name, detail, at);
    await this.#page.exposeFunction('tellRunner', report);
    if (clock) await this.#page.clock.install();
    await this.#page.goto(`http://localhost:${this.#server.address().port}/`);
    await this.#page.evaluate((how) => window.start(how), { product, token: sandbox.token });
  }

  /** Names of what was reported so far. */
  get events() {
    return this.reports.names;
  }

  /** Waits for an event, the first after those already waited for. */
  async until(name) {
    return this.reports.until(name);
  }

  /** Moves the page's timers forward, once the page has planned what it is to wait for. */
  async skip(seconds) {
    await this.#page.clock.runFor(seconds * 1000);
  }

  /**
   * Waits until the line is registered (`true`) or has planned its next round over the servers, more
   * than `rounds` of them (`false`). The client keeps its plan in the page's local storage.
   */
  async plannedOrRegistered(rounds) {
    const test = ([key, rounds]) => {
      if (window.lineInfo?.().status === 'active') return 'registered';
      const plan = JSON.parse(localStorage.getItem(key));
      return plan && plan.attempt > rounds && 'planned';
    };
    const key = `wxc-failover-state.${this.#user.id}`;
    const outcome = await this.#page.waitForFunction(test, [key, rounds], { polling: 50 });
    return (await outcome.jsonValue()) === 'registered';
  }

  /** Gives back all that was registered. */
  async leave() {
    await this.#page.evaluate(() => window.leave());
    await this.until('left');
  }

  /** What the line object says of itself. */
  async line() {
    return this.#page.evaluate(() => window.lineInfo());
  }

  async close() {
    await this.#browser?.close();
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}

async function serve(product, request, response) {
  const name = request.url.slice(1);
  response.setHeader('cache-control', 'no-store');
  if (name === '') {
    response.setHeader('content-type', 'text/html').end(html(product));
    return;
  }
  const known = name === 'client.mjs' || BUNDLES[product].includes(name);
  if (!known) {
    response.writeHead(404).end();
    return;
  }
  const file = name === 'client.mjs' ? join(SUITE, 'page', name) : await bundle(name);
  response.setHeader('content-type', 'text/javascript');
  createReadStream(file).pipe(response);
}

function html(product) {
  const scripts = BUNDLES[product].map((name) => `<script src="/${name}"></script>`);
  return `<!doctype html><meta charset="utf-8"><title>The official client</title>
    ${scripts.join('')}<script type="module" src="/client.mjs"></script>`;
}
