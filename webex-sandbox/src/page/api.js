// The control API as the page uses it: calls, and the stream of changes.

/** How long to wait before the stream is opened anew, milliseconds. */
const RECONNECT_MS = 1_000;

/** One call; `path` without `/sandbox`. Throws an error with the sandbox's own words. */
export async function ask(method, path, body) {
  const answer = await fetch(`/sandbox${path}`, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { accept: 'application/json' },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(reason(text) ?? `The sandbox answered ${answer.status}.`);
  return text === '' ? undefined : JSON.parse(text);
}

/** A query string of all that is not empty. */
export function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== '' && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : '';
}

/**
 * Follows the changes for as long as the page lives. `changed(kind)` is called for each; `state` with
 * `live` whenever the stream begins (what happened before is unknown then) and `lost` when it breaks.
 */
export function follow(changed, state) {
  const stream = new EventSource('/sandbox/events');
  stream.onopen = () => state('live');
  stream.onmessage = ({ data }) => changed(JSON.parse(data).kind);
  stream.onerror = () => {
    stream.close();
    state('lost');
    setTimeout(() => follow(changed, state), RECONNECT_MS);
  };
}

function reason(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}
