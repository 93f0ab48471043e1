// Faults: the form that sets them, and the list of those that are set.

import { ask } from './api.js';
import { Table, button } from './table.js';

/** What is often wanted; each fills in the form. */
const EXAMPLES = [
  ['Mobius: device limit (403, code 101)', { target: 'mobius.register', status: 403, body: '{"errorCode": 101}' }],
  ['Mobius: not entitled (403, code 102)', { target: 'mobius.register', status: 403, body: '{"errorCode": 102}' }],
  ['Mobius: first server unavailable (503)', { target: 'mobius.register', instance: 'primary-1', status: 503, times: '' }],
  ['Mobius: too many requests (429)', { target: 'mobius.register', status: 429, retry_after: 5 }],
  ['Keepalive: line unknown (404)', { target: 'mobius.status', status: 404 }],
  ['Keepalive: server unavailable (503), 3 times', { target: 'mobius.status', status: 503, times: 3 }],
  ['WDM: excessive device registrations', { target: 'wdm.register', status: 403, body: '{"message": "User has excessive device registrations"}' }],
  ['Token refused (401) everywhere', { target: '*', status: 401 }],
  ['Mercury: token expired (4401)', { target: 'mercury.authorize', what: 'close', code: 4401, reason: 'token expired' }],
  ['Catalog without WDM', { target: 'u2c.postauth', what: 'merge', merge: '{"serviceLinks": {"wdm": null}}' }],
];

export class Faults {
  #table;
  #pager;
  #form = document.querySelector('#fault');
  #act;
  #faults = [];
  #nameOf;

  /** `act` runs a call and tells its outcome; `pager` cuts the list; `nameOf` names a user. */
  constructor(act, nameOf, makePager) {
    this.#act = act;
    this.#nameOf = nameOf;
    this.#pager = makePager(() => this.#show());
    this.#table = new Table(document.querySelector('[data-table="faults"]'), {
      key: ({ id }) => id,
      empty: 'No fault is set.',
      columns: [
        { title: 'No.', kind: 'number', text: ({ id }) => id },
        { title: 'Requests', text: (fault) => this.#where(fault) },
        { title: 'What happens', kind: 'long', text: what },
        { title: 'Lets pass', kind: 'number', text: ({ skip }) => skip || '' },
        { title: 'Fired', kind: 'number', text: ({ fired }) => fired },
        {
          title: 'Still',
          kind: 'number',
          text: ({ times }) => (times === null ? 'until cleared' : times || 'used up'),
          tone: ({ times }) => (times === 0 ? 'soft' : 'bad'),
        },
        {
          title: '',
          kind: 'actions',
          make: (cell, item) => {
            const clear = ({ id }) => this.#act(`Fault ${id} is cleared.`, 'DELETE', `/faults/${id}`);
            button(cell, item, 'Clear', clear, ({ id }) => `fault ${id}`);
            return () => {};
          },
        },
      ],
    });
    this.#examples();
    this.#form.addEventListener('submit', (event) => this.#set(event));
    this.#form.what.addEventListener('change', () => this.#offer());
    this.#offer();
    document.querySelector('#clear-faults').addEventListener('click', () => {
      this.#act('All faults are cleared.', 'DELETE', '/faults');
    });
  }

  async refresh() {
    this.#faults = (await ask('GET', '/faults')).reverse();
    this.#show();
  }

  #show() {
    const { offset, limit } = this.#pager.part;
    this.#table.show(this.#faults.slice(offset, offset + limit));
    this.#pager.total(this.#faults.length);
  }

  #where({ target, instance, user }) {
    const at = instance ? ` at ${instance}` : '';
    return `${target === '*' ? 'all' : target}${at}${user ? ` of ${this.#nameOf(user)}` : ''}`;
  }

  #examples() {
    const select = document.querySelector('#fault-example');
    EXAMPLES.forEach(([label], index) => select.add(new Option(label, index)));
    select.addEventListener('change', () => {
      const example = EXAMPLES[select.value]?.[1];
      if (!example) return;
      this.#form.reset();
      for (const [name, value] of Object.entries(example)) this.#form.elements[name].value = value;
      this.#offer();
      // The reset has emptied it as well.
      select.value = EXAMPLES.findIndex(([, other]) => other === example);
    });
  }

  /** Offers only the fields that belong to what is to happen. */
  #offer() {
    for (const label of this.#form.querySelectorAll('[data-for]')) {
      const wanted = label.dataset.for === this.#form.what.value;
      label.hidden = !wanted;
      label.querySelector('input').disabled = !wanted;
    }
  }

  async #set(event) {
    event.preventDefault();
    let fault;
    try {
      fault = read(new FormData(this.#form));
    } catch (error) {
      this.#act(error);
      return;
    }
    await this.#act(({ id }) => `Fault ${id} is set.`, 'POST', '/faults', fault);
  }
}

/** The form as the control API takes it. Throws an error that says which field is wrong. */
function read(form) {
  const fault = { target: form.get('target'), delay_s: Number(form.get('delay')) };
  fault.skip = Number(form.get('skip'));
  for (const name of ['instance', 'user']) if (form.get(name)) fault[name] = form.get(name);
  if (form.get('times')) fault.times = Number(form.get('times'));
  const kind = form.get('what');
  if (kind === 'status') {
    fault.status = Number(form.get('status'));
    if (form.get('retry_after')) fault.headers = { 'Retry-After': form.get('retry_after') };
    if (form.get('body').trim()) fault.body = json('body', form.get('body'));
  } else if (kind === 'merge') {
    fault.merge = json('merge patch', form.get('merge'));
  } else if (kind === 'close') {
    fault.close = { code: Number(form.get('code')), reason: form.get('reason') };
  } else if (kind !== 'delay') {
    fault.break = kind;
  }
  return fault;
}

function json(what, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`The ${what} is not JSON.`);
  }
}

const BREAKS = { refuse: 'connection closed', reset: 'connection reset', hang: 'no answer, ever' };

function what({ status, headers, body, merge, break: breakage, close, delay_s: delay }) {
  const parts = [];
  if (delay) parts.push(`${delay} s later`);
  if (breakage) parts.push(BREAKS[breakage]);
  if (status) parts.push(`status ${status}`);
  for (const [name, value] of Object.entries(headers ?? {})) parts.push(`${name}: ${value}`);
  if (body !== null) parts.push(JSON.stringify(body));
  if (merge !== null) parts.push(`answer changed by ${JSON.stringify(merge)}`);
  if (close) parts.push(`socket closed, ${close.code} ${close.reason}`);
  return parts.join(', ') || 'nothing';
}
