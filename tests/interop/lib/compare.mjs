// Compares what two clients sent in the same scenario, request by request.
//
// Each request is first made comparable: ids, times, tokens and origins become placeholders, and what
// the browser adds of its own is left out. Then the n-th request of an operation of one client is held
// against the n-th of the other. A difference is `{request, what, official, ours}`, all text.

/** Headers that the browser or the HTTP library adds, whoever calls. */
const TRANSPORT_HEADERS = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'connection',
  'content-length',
  'host',
  'origin',
  'pragma',
  'priority',
  'referer',
  'upgrade',
  'user-agent',
]);

/** Sent as often as time allows: only the first is compared. */
const REPEATED = new Set(['mobius.status']);

/**
 * Sent with the device's address when there is a device already, which is a matter of time: asked beside
 * its registration.
 */
const BESIDE_THE_DEVICE = /^hydra\./;

/** Asked by both products at the same time, so that they come in any order: the shortest first. */
const SIDE_BY_SIDE = new Set(['hydra.me']);

/** What the official client tells its makers, when it finds the time; ours must send none of it. */
const TELEMETRY = /^(metrics|client_logs)\./;

/** Operations whose order is part of the protocol; all others may run side by side. */
const ORDERED = {
  'order of device and socket': /^(wdm|mercury)\./,
  'order of device and line': /^(wdm|mobius)\./,
};

const NONE = '–';

/** What a client did at the sandbox: its requests, and how it closed its sockets. */
export async function recorded(sandbox) {
  const requests = (await sandbox.requests())
    .map(comparable)
    .filter(({ name }) => name !== 'other.preflight' && name !== 'other.unknown');
  const all = [...(await sandbox.closedSockets()), ...(await sandbox.sockets())];
  const sockets = all.map((socket) => ({
    name: 'mercury socket',
    fields: {
      'first frame': socket.received[0]?.type,
      'authorization frame': keys(socket.received.find(({ type }) => type === 'authorization')),
      close: socket.closed ? ending(socket.closed) : 'still open',
    },
  }));
  return [...requests, ...sockets];
}

/** The differences between two recordings. */
export function differences(official, ours) {
  const found = [];
  const wanted = official.filter(({ name }) => !TELEMETRY.test(name));
  const [a, b] = [wanted, ours].map(byOperation);
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const [left, right] = [a.get(name) ?? [], b.get(name) ?? []];
    if (left.length !== right.length) {
      found.push(difference(name, 'number', left.length, right.length));
    }
    for (let n = 0; n < Math.min(left.length, right.length); n += 1) {
      const names = new Set([...Object.keys(left[n].fields), ...Object.keys(right[n].fields)]);
      for (const what of names) {
        const [x, y] = [left[n].fields[what], right[n].fields[what]];
        if (x !== y) found.push(difference(name, what, x, y));
      }
    }
  }
  for (const [what, pattern] of Object.entries(ORDERED)) {
    const [x, y] = [official, ours].map((requests) => order(requests, pattern));
    if (x !== y) found.push(difference('all', what, x, y));
  }
  const texts = new Set();
  return found.filter((one) => !texts.has(JSON.stringify(one)) && texts.add(JSON.stringify(one)));
}

function difference(request, what, official = NONE, ours = NONE) {
  return { request, what, official: String(official), ours: String(ours) };
}

function comparable({ service, operation, method, path, query, headers, body, status }) {
  const fields = { method, path: general(path.replace(/^\/(mobius\/[\w-]+|mercury)\//, '/')), status };
  for (const [name, value] of new URLSearchParams(query)) fields[`query ${name}`] = general(value);
  for (const [name, value] of Object.entries(headers)) {
    const timed = name === 'cisco-device-url' && BESIDE_THE_DEVICE.test(`${service}.`);
    if (!TRANSPORT_HEADERS.has(name) && !name.startsWith('sec-') && !timed) {
      fields[`header ${name}`] = general(value);
    }
  }
  let json;
  try {
    json = JSON.parse(body);
  } catch {
    if (body) fields.body = general(body);
  }
  flatten(json, 'body', (name, value) => (fields[name] = general(JSON.stringify(value))));
  return { name: `${service}.${operation}`, fields };
}

/** Replaces what differs between any two runs. */
function general(text) {
  return text
    .replace(/(https|wss):\/\/[^/"?]+(\/mobius\/[\w-]+|\/mercury)?/g, '{origin}')
    .replace(/Bearer \[redacted \w+\]/g, 'Bearer {token}')
    .replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, '{uuid}')
    .replace(/\b1\d{12}\b/g, '{ms}')
    .replace(/webex-native\/\d+\.\d+\.\d+/, 'webex-native/{version}')
    .replace(/(?<=\{uuid\})_\d+$/, '_{n}')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '{time}');
}

function flatten(value, name, add) {
  if (value === undefined) return;
  if (value === null || typeof value !== 'object') {
    add(name, value);
    return;
  }
  for (const [key, inner] of Object.entries(value)) flatten(inner, `${name} ${key}`, add);
}

function byOperation(requests) {
  const map = new Map();
  for (const request of requests) {
    const same = map.get(request.name) ?? [];
    if (!(REPEATED.has(request.name) && same.length)) same.push(request);
    map.set(request.name, same);
  }
  for (const name of SIDE_BY_SIDE) {
    map.get(name)?.sort((a, b) => Object.keys(a.fields).length - Object.keys(b.fields).length);
  }
  return map;
}

function order(requests, pattern) {
  const names = requests.map(({ name }) => name).filter((name) => pattern.test(name));
  return names.filter((name, at) => !REPEATED.has(name) || !names.slice(0, at).includes(name)).join(' ');
}

function ending({ by, code = '', reason = '' }) {
  return `${by} ${code} ${reason}`.trim();
}

function keys(frame) {
  const names = [];
  flatten(frame, '', (name) => names.push(name.trim()));
  return names.sort().join(', ');
}
