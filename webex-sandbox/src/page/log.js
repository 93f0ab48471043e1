// The request log: newest first, filtered and cut into pages by the sandbox.

import { ask, query } from './api.js';
import { Table, button, element } from './table.js';

/** Requests on a page. */
const PAGE = 50;
/** How long after the last key the filter is applied, milliseconds. */
const TYPING_MS = 200;

export class Log {
  #table;
  #form = document.querySelector('#filter');
  #pager = document.querySelector('[data-pager="requests"]');
  #changed;
  #nameOf;
  /** Where each page before this one began; the log grows, so pages hang on request numbers. */
  #before = [];

  /** `changed` is called when other requests are to be loaded; `nameOf` gives a user's name by id. */
  constructor(changed, nameOf) {
    this.#changed = changed;
    this.#nameOf = nameOf;
    this.#table = new Table(document.querySelector('[data-table="requests"]'), {
      key: ({ number }) => number,
      empty: 'No request fits.',
      columns: [
        { title: 'No.', kind: 'number', make: (cell, item) => this.#number(cell, item) },
        { title: 'Time', kind: 'code', text: ({ time }) => time.slice(11, 23) },
        {
          title: 'Status',
          kind: 'code',
          text: ({ status, pending }) => status ?? (pending ? 'pending' : 'none'),
          tone,
        },
        { title: 'Operation', text: ({ service, operation }) => `${service}.${operation}` },
        { title: 'Instance', text: ({ instance }) => instance ?? '' },
        { title: 'Method', kind: 'code', text: ({ method }) => method },
        { title: 'Path', kind: 'code long', text: ({ path, query: q }) => (q ? `${path}?${q}` : path) },
        { title: 'User', text: ({ user_id: id }) => (id ? this.#nameOf(id) : '') },
      ],
    });
    let typing;
    const apply = () => {
      clearTimeout(typing);
      this.#before = [];
      this.#changed();
    };
    this.#form.addEventListener('submit', (event) => event.preventDefault());
    this.#form.addEventListener('change', apply);
    this.#form.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(apply, TYPING_MS);
    });
    // The fields are empty only after the event.
    this.#form.addEventListener('reset', () => setTimeout(apply));
  }

  /** Loads and shows what the filter wants. */
  async refresh() {
    const filter = Object.fromEntries(new FormData(this.#form));
    filter.status = filter.status.trim();
    if (!/^([1-5]xx|\d{3}|none)?$/.test(filter.status)) filter.status = '';
    if (filter.target === '*') filter.target = '';
    // One more than is shown tells whether there are older ones.
    const wanted = { ...filter, before: this.#before.at(-1), limit: PAGE + 1, brief: true };
    const found = (await ask('GET', `/requests${query(wanted)}`)).reverse();
    const shown = found.slice(0, PAGE);
    this.#table.show(shown);
    this.#page(shown, found.length > PAGE);
  }

  #page(shown, older) {
    if (!older && !this.#before.length) {
      this.#pager.replaceChildren();
      return;
    }
    if (!this.#pager.firstChild) {
      for (const label of ['Newer', 'Older']) {
        const made = element('button', label);
        made.type = 'button';
        this.#pager.append(made);
      }
      this.#pager.append(element('span'));
    }
    const [back, forth, text] = this.#pager.children;
    back.disabled = !this.#before.length;
    back.onclick = () => {
      this.#before.pop();
      this.#changed();
    };
    forth.disabled = !older;
    forth.onclick = () => {
      this.#before.push(shown.at(-1).number);
      this.#changed();
    };
    text.textContent = this.#before.length ? `before number ${this.#before.at(-1)}` : 'newest';
  }

  #number(cell, item) {
    const open = button(cell, item, item().number, (request) => show(request.number), () => '');
    open.className = 'link';
    open.setAttribute('aria-label', `Request ${item().number}, all of it`);
    return () => {};
  }
}

/** Shows one request in full. */
async function show(number) {
  const dialog = document.querySelector('#request');
  const request = await ask('GET', `/requests/${number}`);
  const whole = request.query ? `${request.path}?${request.query}` : request.path;
  dialog.querySelector('h2').textContent = `${request.method} https://${request.host}${whole}`;
  const facts = {
    Number: request.number,
    Time: request.time,
    Status: request.status ?? (request.pending ? 'pending' : 'none'),
    Operation: `${request.service}.${request.operation}`,
    'Tracking id': request.tracking_id ?? '–',
    Connection: `${request.connection}, ${request.version}`,
  };
  document.querySelector('#request-facts').replaceChildren(
    ...Object.entries(facts).map(([name, value]) => {
      const fact = document.createElement('div');
      fact.append(element('dt', name), element('dd', value));
      return fact;
    }),
  );
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
  document.querySelector('#request-headers').textContent = headers.join('\n') || '–';
  document.querySelector('#request-body').textContent = pretty(request.body) || '–';
  dialog.showModal();
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function tone({ status, pending }) {
  if (pending) return 'soft';
  if (status === null || status >= 500) return 'bad';
  return status >= 400 ? 'warn' : 'good';
}
