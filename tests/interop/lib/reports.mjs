// What a client reports, in order, and waiting for it.

import { EventEmitter, once } from 'node:events';

export class Reports {
  /** How long to wait for a report, milliseconds. Generous: the machine may be busy. */
  patienceMs = 30_000;

  #who;
  #all = [];
  #read = 0;
  #ended;
  #changes = new EventEmitter();

  /** `who` reports is told in errors. */
  constructor(who) {
    this.#who = who;
  }

  /** `at` is the client's own time, milliseconds. */
  add(name, detail, at) {
    this.#all.push({ name, detail, at });
    this.#changes.emit('change');
  }

  /** Nothing more will come, and why. */
  end(why) {
    this.#ended = why;
    this.#changes.emit('change');
  }

  get all() {
    return this.#all;
  }

  get names() {
    return this.#all.map(({ name }) => name);
  }

  first(name) {
    return this.#all.find((report) => report.name === name);
  }

  /** The first report called `name` after those that earlier waits gave; its detail. */
  async until(name) {
    const signal = AbortSignal.timeout(this.patienceMs);
    for (;;) {
      const at = this.#all.findIndex((report, index) => index >= this.#read && report.name === name);
      if (at >= 0) {
        this.#read = at + 1;
        return this.#all[at].detail;
      }
      if (this.#ended || signal.aborted) {
        const heard = JSON.stringify(this.#all, null, 1);
        throw new Error(`${this.#who} never reported ${name} (${this.#ended ?? 'in time'}): ${heard}`);
      }
      await once(this.#changes, 'change', { signal }).catch(() => {});
    }
  }
}
