// Runs in the page: drives the official client as an application does, and reports what it hears.
//
// `start` makes the client, and registers when it is ready; `leave` gives everything back. Both return
// at once, what becomes of them is reported.

/** Events of the Mercury plugin, which applications use through `webex.internal`. */
const SOCKET_EVENTS = [
  'online',
  'offline.transient',
  'offline.permanent',
  'offline.replaced',
  'event:mercury_shutdown_imminent',
  'event:mercury_shutdown_switchover_complete',
  'event:mercury_shutdown_switchover_failed',
  'event:sandbox.greeting',
];

const MEETINGS_EVENTS = [
  'meetings:ready',
  'meetings:registered',
  'meetings:unregistered',
  'network:disconnected',
];

const LINE_EVENTS = ['connecting', 'registered', 'unregistered', 'reconnecting', 'reconnected'];

let webex;
let calling;
let line;

/** `product` is `meetings`, `calling` or `both`. */
window.start = ({ product, token }) => {
  const credentials = { access_token: token };
  if (product === 'calling') {
    startCalling({ webexConfig: { credentials } });
    return;
  }
  webex = window.Webex.init({ credentials });
  forward(webex.meetings, MEETINGS_EVENTS);
  forward(webex.internal.mercury, SOCKET_EVENTS);
  webex.meetings.once('meetings:ready', () => tell('register', registerMeetings(product), ''));
};

window.leave = () => tell('left', leave());

/** The line as its object describes it. */
window.lineInfo = () => {
  if (!line) return {};
  const names = ['lineId', 'mobiusDeviceId', 'userId', 'mobiusUri', 'sipAddresses'];
  names.push('keepaliveInterval', 'rehomingIntervalMin', 'rehomingIntervalMax');
  const info = Object.fromEntries(names.map((name) => [name, line[name]]));
  return { ...info, status: line.getStatus(), server: line.getActiveMobiusUrl() };
};

async function registerMeetings(product) {
  await webex.meetings.register();
  if (product === 'both') await startCalling({ webex });
}

async function startCalling(which) {
  calling = await window.Calling.init({
    ...which,
    callingConfig: {
      clientConfig: { calling: true },
      callingClientConfig: {
        logger: { level: 'error' },
        serviceData: { indicator: 'calling', domain: '' },
      },
      logger: { level: 'error' },
    },
  });
  if (webex) {
    registerLine();
    return;
  }
  calling.on('ready', async () => {
    report('ready');
    webex = calling.webex;
    forward(webex.internal.mercury, SOCKET_EVENTS);
    await calling.register();
    // The promise is fulfilled whatever happened: whether there are lines tells.
    if (calling.callingClient) registerLine();
    else report('calling:failed');
  });
}

function registerLine() {
  calling.callingClient.on('callingClient:error', (e) => report('client error', e.getError()));
  [line] = Object.values(calling.callingClient.getLines());
  forward(line, LINE_EVENTS);
  line.on('error', (error) => report('error', error.getError()));
  line.register();
}

async function leave() {
  if (calling?.registered) await calling.deregister();
  else {
    line?.deregister();
    await webex.meetings.unregister();
  }
}

function report(name, detail) {
  window.tellRunner(name, detail, Date.now());
}

function forward(emitter, names) {
  for (const name of names) emitter.on(name, () => report(name));
}

function tell(what, promise, done = what) {
  promise.then(
    () => done && report(done),
    (error) => report(`${what}: failed`, String(error?.message ?? error)),
  );
}
