// The sandbox's own page in headless Chromium, as a person uses it.

import { chromium as playwright } from 'playwright-core';

import { chromium } from './tools.mjs';

/** Chromium asks nobody but the sandbox; its certificate is accepted, as a person would. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** How long something on the page may take to come true, milliseconds. */
const PATIENCE_MS = 30_000;

export class Watcher {
  #browser;

  /** What the page did that it should not: errors of scripts and breaches of its policy. */
  faults = [];
  /** Every text the page was sent. */
  received = [];

  static async open(sandbox, { viewport = { width: 1500, height: 1000 } } = {}) {
    const watcher = new Watcher();
    watcher.#browser = await playwright.launch({
      executablePath: await chromium(),
      args: FLAGS,
    });
    const page = await watcher.#browser.newPage({ ignoreHTTPSErrors: true, viewport });
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => watcher.faults.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') watcher.faults.push(message.text());
    });
    page.on('response', async (response) => {
      if (!response.url().endsWith('/events')) {
        watcher.received.push(await response.text().catch(() => ''));
      }
    });
    watcher.page = page;
    await page.goto(`${sandbox.origin}/sandbox/`);
    await page.locator('#connection[data-state="live"]').waitFor();
    return watcher;
  }

  /** The rows of a table, by the section's id. */
  rows(section) {
    return this.page.locator(`#${section} tbody tr`);
  }

  /** Texts of a table's cells, row by row. */
  async cells(section) {
    return this.rows(section).evaluateAll((rows) =>
      rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
    );
  }

  /** A button by its accessible name. */
  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Waits until a function of the page's document gives something true; gives that. */
  async until(test, argument) {
    return (await this.page.waitForFunction(test, argument, { polling: 30 })).jsonValue();
  }

  /** Waits until the outcome of an action is told. */
  async told(text) {
    await this.page.locator('#outcome', { hasText: text }).waitFor();
  }

  /** Presses Tab until the focus is on what `selector` names. */
  async tabTo(selector) {
    for (let presses = 0; presses < 200; presses += 1) {
      await this.page.keyboard.press('Tab');
      if (await this.page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) {
        return;
      }
    }
    throw new Error(`the focus never comes to ${selector}`);
  }

  async close() {
    await this.#browser?.close();
  }
}
