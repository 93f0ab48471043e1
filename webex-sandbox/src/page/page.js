// The sandbox's page: shows what there is, follows what changes, and passes on what is clicked.
//
//   /sandbox/events ──► which parts are out of date ──► at most every REFRESH_MS: asked for anew
//   clicks ──► control API ──► (the change comes back as an event)
//
// Lists come in pages of ROWS, cut by the sandbox, so that thousands of lines cost no more than fifty.
// Texts go into the document as text only, and tokens are never asked for.

import { ask, follow, query } from './api.js';
import { Faults } from './faults.js';
import { Log } from './log.js';
import { Pager, Table, button, element } from './table.js';

/** Rows of a list that are shown at a time. */
const ROWS = 50;
/** How often the page is brought up to date, milliseconds. */
const REFRESH_MS = 300;
/** How often countdowns move, milliseconds. */
const TICK_MS = 200;
/** Users whose names are known to the page and offered in its menus. */
const NAMES = 500;
/** How long the outcome of an action stays, milliseconds. */
const OUTCOME_MS = 6_000;

const find = (selector) => document.querySelector(selector);

/** E-mail addresses by user id. */
const names = new Map();
const nameOf = (id) => names.get(id) ?? short(id);
const short = (id) => (id.length > 13 ? `${id.slice(0, 8)}…` : id);

let counts = {};
/** When the sandbox started, by the page's clock. */
let started;

/** What the page shows, by name: how to load it anew. */
const parts = { overview, users, lines, sockets, devices };
/** Which parts are to be loaded anew after a change. */
const TOUCHED = {
  request: ['overview', 'requests'],
  requests_forgotten: ['requests'],
  device_registered: ['overview', 'devices'],
  device_refreshed: ['devices'],
  device_removed: ['overview', 'devices'],
  line_registered: ['overview', 'lines'],
  line_kept_alive: ['lines'],
  line_removed: ['overview', 'lines'],
  socket_opened: ['overview', 'sockets'],
  socket_authorized: ['sockets'],
  socket_frame: ['sockets'],
  socket_closed: ['overview', 'sockets'],
  user_added: ['overview', 'users'],
  tokens_changed: ['users'],
  instance_switched: ['overview'],
  fault_fired: ['faults'],
  faults_changed: ['faults'],
  settings: ['overview', 'sockets'],
};

// --- keeping up -----------------------------------------------------------------------------------

const stale = new Set();
let refreshing;

function touch(...wanted) {
  for (const part of wanted) stale.add(part);
  refreshing ??= setTimeout(refresh, REFRESH_MS);
}

/** Loads what is out of date. Nothing while nobody looks: it stays out of date until then. */
async function refresh() {
  if (!document.hidden) {
    // Names and counts come first: the lists are shown with them.
    const order = Object.keys(parts).filter((part) => stale.delete(part));
    for (const part of order) {
      try {
        await parts[part]();
      } catch (error) {
        outcome(error.message, true);
      }
    }
  }
  refreshing = undefined;
  if (stale.size && !document.hidden) touch();
}

document.addEventListener('visibilitychange', () => stale.size && touch());

/** Calls the control API for a click and tells how it went. */
async function act(done, method, path, body) {
  if (done instanceof Error) {
    outcome(done.message, true);
    return;
  }
  try {
    const answer = await ask(method, path, body);
    outcome(typeof done === 'function' ? done(answer) : done);
  } catch (error) {
    outcome(error.message, true);
  }
}

let fading;
function outcome(text, bad = false) {
  const place = find('#outcome');
  place.dataset.bad = bad;
  place.textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => place.replaceChildren(), OUTCOME_MS);
}

const pager = (name, load) =>
  new Pager(find(`[data-pager="${name}"]`), name, ROWS, load ?? (() => touch(name)));
const pages = Object.fromEntries(['lines', 'sockets', 'devices', 'users'].map((n) => [n, pager(n)]));

// --- instances, counts, latency -------------------------------------------------------------------

const instances = new Table(find('[data-table="instances"]'), {
  key: ({ name }) => name,
  empty: 'No instance.',
  columns: [
    { title: 'Name', text: ({ name }) => name },
    { title: 'Role', text: ({ role }) => role },
    { title: 'Host', kind: 'code', text: ({ host }) => host },
    { title: 'Lines', kind: 'number', text: ({ lines: n }) => n },
    { title: 'Behaviour', text: behaviour },
    {
      title: 'Answers',
      kind: 'actions',
      make: (cell, item) => {
        const flip = ({ name, down }) => {
          const is = down ? 'up' : 'down';
          act(`${name} is ${is}.`, 'PUT', `/instances/${encodeURIComponent(name)}`, { down: !down });
        };
        const made = button(cell, item, 'Up', flip);
        made.setAttribute('role', 'switch');
        return () => {
          const { name, down } = item();
          made.textContent = down ? 'Down' : 'Up';
          made.setAttribute('aria-checked', String(!down));
          made.setAttribute('aria-label', `${name} answers`);
        };
      },
    },
  ],
});

/** In what a Mobius instance is other than it should be. */
function behaviour({ delay, line_limit: limit, forgetful }) {
  const oddities = [
    delay > 0 && `${delay} s late`,
    limit != null && (limit ? `takes ${limit} a user` : 'full'),
    forgetful && 'forgetful',
  ];
  return oddities.filter(Boolean).join(', ');
}

async function overview() {
  const seen = await ask('GET', '/?tokens=false');
  started = performance.now() - seen.uptime_s * 1000;
  counts = seen.counts;
  for (const [name, count] of Object.entries(counts)) {
    find(`[data-count="${name}"]`).textContent = count.toLocaleString('en');
  }
  instances.show(seen.mobius_instances);
  const options = seen.mobius_instances.map(({ name }) => [name, name]);
  for (const form of ['#fault', '#filter']) offer(find(form).elements.instance, options);
  const latency = find('#latency');
  for (const name of ['request', 'connection']) {
    const field = latency.elements[name];
    const value = seen.latency[`${name}_s`] * 1000;
    // What is being typed is not taken away.
    if (Number(field.dataset.shown) !== value) field.value = value;
    field.dataset.shown = value;
  }
}

find('#latency').addEventListener('submit', (event) => {
  event.preventDefault();
  const { request, connection } = event.target.elements;
  const wanted = { request_s: request.value / 1000, connection_s: connection.value / 1000 };
  act('The latency is set.', 'PUT', '/latency', wanted);
});

/** Fills a menu, keeping what is chosen and the first option. */
function offer(select, options) {
  const wanted = options.map(([value]) => value).join();
  if (select.dataset.offered === wanted) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...options.map(([value, text]) => new Option(text, value)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  select.dataset.offered = wanted;
}

// --- lines ----------------------------------------------------------------------------------------

const lineTable = new Table(find('[data-table="lines"]'), {
  key: ({ device_id: id }) => id,
  empty: 'No line is registered.',
  columns: [
    { title: 'User', kind: 'name', text: ({ user_id: id }) => nameOf(id) },
    { title: 'Instance', text: ({ instance }) => instance },
    { title: 'Next keepalive', make: countdown },
    { title: 'So far', kind: 'number', text: ({ keepalives }) => keepalives },
    {
      title: 'Ends in',
      kind: 'number',
      text: ({ ends }) => `${Math.max(0, Math.ceil((ends - performance.now()) / 1000))} s`,
    },
    { title: 'State', text: (l) => (l.superseded ? 'superseded' : 'registered'), tone: (l) => (l.superseded ? 'warn' : 'good') },
    {
      title: '',
      kind: 'actions',
      make: (cell, item) => {
        const end = ({ device_id: id }) => act('The line has ended.', 'DELETE', `/lines/${id}`);
        button(cell, item, 'Expire', end, (line) => `line of ${nameOf(line.user_id)} at ${line.instance}`);
        return () => {};
      },
    },
  ],
});

async function lines() {
  const shown = await ask('GET', `/lines${query(pages.lines.part)}`);
  const now = performance.now();
  for (const line of shown) {
    line.due = now + line.keepalive_in_s * 1000;
    line.ends = now + line.expires_in_s * 1000;
  }
  lineTable.show(shown);
  pages.lines.total(counts.lines ?? 0);
}

function countdown(cell, item) {
  const bar = element('progress');
  bar.setAttribute('aria-hidden', 'true');
  const text = element('span', '', 'left');
  cell.append(bar, text);
  return () => {
    const left = (item().due - performance.now()) / 1000;
    bar.max = item().keepalive_interval_s;
    bar.value = Math.max(0, left);
    const seconds = Math.abs(left).toFixed(left < 10 ? 1 : 0);
    text.textContent = left >= 0 ? `in ${seconds} s` : `${seconds} s late`;
    // A keepalive takes its way; only what is later than that is late.
    text.className = left < -1 ? 'left bad' : 'left';
  };
}

// --- sockets --------------------------------------------------------------------------------------

const socketTable = new Table(find('[data-table="sockets"]'), {
  key: ({ id }) => id,
  empty: 'No socket is open.',
  columns: [
    { title: 'No.', kind: 'number', text: ({ id }) => id },
    { title: 'User', kind: 'name', text: ({ user_id: id }) => (id ? nameOf(id) : '–') },
    { title: 'State', text: socketState, tone: (s) => (s.silent ? 'bad' : s.authorized ? 'good' : 'warn') },
    { title: 'Pings', kind: 'number', text: ({ pings }) => pings },
    { title: 'Acks', kind: 'number', text: ({ acks }) => acks },
    {
      title: '',
      kind: 'actions',
      make: (cell, item) => {
        const about = ({ id }) => `socket ${id}`;
        const tell = (id, told, what) => act(`Socket ${id} ${told}.`, 'POST', `/sockets/${id}`, what);
        button(cell, item, 'Close', ({ id }) => {
          const code = find('#close-code').valueAsNumber;
          const reason = find('#close-reason').value;
          tell(id, `is closed with ${code}`, { do: 'close', code, reason });
        }, about);
        button(cell, item, 'Drop', ({ id }) => tell(id, 'is dropped', { do: 'drop' }), about);
        button(cell, item, 'Shut down', ({ id }) => {
          tell(id, 'is told of a shutdown', { do: 'shutdown' });
        }, about);
        const silence = button(cell, item, 'Silence', ({ id, silent }) => {
          tell(id, silent ? 'answers again' : 'answers nothing', { do: 'silence', on: !silent });
        }, about);
        return () => silence.setAttribute('aria-pressed', String(item().silent));
      },
    },
  ],
});

async function sockets() {
  socketTable.show(await ask('GET', `/sockets${query({ brief: true, ...pages.sockets.part })}`));
  pages.sockets.total(counts.sockets ?? 0);
}

function socketState({ silent, shutting_down: leaving, authorized }) {
  if (silent) return 'silent';
  if (leaving) return 'shutting down';
  return authorized ? 'authorized' : 'not authorized';
}

// --- devices --------------------------------------------------------------------------------------

const deviceTable = new Table(find('[data-table="devices"]'), {
  key: ({ id }) => id,
  empty: 'No device is registered.',
  columns: [
    { title: 'Name', kind: 'name', text: ({ name }) => name },
    { title: 'Type', text: ({ device_type: type }) => type },
    { title: 'User', kind: 'name', text: ({ user_id: id }) => nameOf(id) },
    { title: 'Lives', kind: 'number', text: ({ ttl }) => (ttl === null ? '7 days' : `${ttl} s`) },
    { title: 'Refreshed', kind: 'number', text: ({ refreshes }) => refreshes },
    { title: 'Last', kind: 'code', text: ({ modified }) => modified.slice(11, 19) },
    {
      title: '',
      kind: 'actions',
      make: (cell, item) => {
        const end = ({ id }) => act('The device has ended.', 'DELETE', `/devices/${id}`);
        button(cell, item, 'Expire', end, ({ name, id }) => `device ${name} ${short(id)}`);
        return () => {};
      },
    },
  ],
});

async function devices() {
  deviceTable.show(await ask('GET', `/devices${query({ brief: true, ...pages.devices.part })}`));
  pages.devices.total(counts.devices ?? 0);
}

// --- users and tokens -----------------------------------------------------------------------------

const userTable = new Table(find('[data-table="users"]'), {
  key: ({ id }) => id,
  empty: 'No user.',
  columns: [
    { title: 'User', text: ({ email }) => email },
    { title: 'Kind', text: ({ kind }) => kind },
    {
      title: 'Live tokens',
      kind: 'number',
      text: ({ live_tokens: n }) => n,
      tone: ({ live_tokens: n }) => (n ? '' : 'bad'),
    },
    {
      title: '',
      kind: 'actions',
      make: (cell, item) => {
        const of = ({ email }) => `of ${email}`;
        button(cell, item, 'Expire tokens', ({ id, email }) => {
          const wanted = { after_s: find('#expire-after').valueAsNumber || 0 };
          const when = wanted.after_s ? `in ${wanted.after_s} s` : 'now';
          act(`The tokens of ${email} expire ${when}.`, 'POST', `/users/${id}/tokens/expire`, wanted);
        }, of);
        button(cell, item, 'Revoke tokens', ({ id, email }) => {
          act(`The tokens of ${email} are revoked.`, 'DELETE', `/users/${id}/tokens`);
        }, of);
        return () => {};
      },
    },
  ],
});

async function users() {
  const known = await ask('GET', `/users${query({ tokens: false, limit: NAMES })}`);
  for (const { id, email } of known) names.set(id, email);
  const options = known.map(({ id, email }) => [id, email]);
  for (const form of ['#fault', '#filter']) offer(find(form).elements.user, options);
  const { part } = pages.users;
  const total = counts.users ?? known.length;
  const isKnown = part.offset + part.limit <= known.length || total <= known.length;
  userTable.show(
    isKnown
      ? known.slice(part.offset, part.offset + part.limit)
      : await ask('GET', `/users${query({ tokens: false, ...part })}`),
  );
  pages.users.total(total);
  touch('lines', 'sockets', 'devices', 'requests');
}

// --- begin ----------------------------------------------------------------------------------------

const faults = new Faults(act, nameOf, (load) => pager('faults', load));
parts.faults = () => faults.refresh();
const log = new Log(() => touch('requests'), nameOf);
parts.requests = () => log.refresh();

find('#clear-log').addEventListener('click', () => {
  act('The requests are forgotten.', 'DELETE', '/requests');
});

setInterval(() => {
  if (document.hidden) return;
  lineTable.tick();
  if (started !== undefined) find('#uptime').textContent = lasting((performance.now() - started) / 1000);
}, TICK_MS);

function lasting(seconds) {
  const whole = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours}:${two(minutes)}:${two(whole % 60)}`;
}

const operations = (await ask('GET', '/operations')).map((name) => [
  name,
  name.includes('.') ? name : `${name}: all`,
]);
find('#fault').elements.target.append(new Option('all', '*'));
find('#filter').elements.target.append(new Option('all', '*'));
for (const form of ['#fault', '#filter']) offer(find(form).elements.target, operations);
find('#fault').elements.target.value = 'mobius.register';

follow(
  (kind) => touch(...(TOUCHED[kind] ?? Object.keys(parts))),
  (state) => {
    find('#connection').dataset.state = state;
    find('#connection').textContent =
      state === 'live' ? 'Live' : 'The sandbox does not answer; trying again …';
    if (state === 'live') touch(...Object.keys(parts));
  },
);
