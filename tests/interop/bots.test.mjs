// Bots on libraries that are not ours: each hears of a message and answers it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { startProxy } from './lib/proxy.mjs';
import { Sandbox } from './lib/sandbox.mjs';
import { SUITE, present, targetDirectory } from './lib/tools.mjs';

const AUTHOR = 'bob@sandbox.example';

const BOTS = [
  {
    name: 'the crate webex 0.10',
    async command() {
      const path = join(targetDirectory(), 'debug/bot-rust');
      return [await present(path, 'cargo xtask interop')];
    },
    // Its websocket knows no proxy; `localhost` is in the sandbox's certificate.
    prepare: (sandbox) =>
      sandbox.policies({ wdm: { socket_origin: `wss://localhost:${sandbox.port}` } }),
    says: 'hello',
    device: 'rust-client',
  },
  {
    name: 'webex_bot 1.3 from PyPI',
    async command() {
      const path = join(SUITE, 'bot-python/.venv/bin/python');
      return [await present(path, 'cargo xtask setup'), join(SUITE, 'bot-python/bot.py')];
    },
    says: 'repeat hello',
    device: 'python-spark-client',
  },
];

async function answers(bot) {
  const sandbox = await Sandbox.start();
  const proxy = await startProxy(sandbox);
  const output = [];
  let child;
  try {
    await bot.prepare?.(sandbox);
    const [program, ...args] = await bot.command();
    child = spawn(program, args, { env: environment(sandbox, proxy), stdio: 'pipe' });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => output.push(text));
    }
    await sandbox.until({ authorized_sockets: 1 });
    const [device] = await sandbox.ask('GET', '/devices');
    assert.equal(device.name, bot.device);
    const path = `/users/${sandbox.user.id}/messages`;
    assert.deepEqual(await sandbox.ask('POST', path, { from: AUTHOR, text: bot.says }), { sockets: 1 });
    await sandbox.until({ target: 'hydra.post_message', requests: 1, status: 200 });
    const [answer] = await sandbox.requests({ target: 'hydra.post_message' });
    const { text, markdown } = JSON.parse(answer.body);
    assert.equal(text ?? markdown, 'You said: hello');
    assert.deepEqual(await sandbox.answers('hydra.message'), ['GET 200']);
    assert.deepEqual(await sandbox.requests({ target: 'other.unknown' }), []);
  } catch (error) {
    error.message += `\nthe bot said: ${output.join('')}`;
    throw error;
  } finally {
    await stop(child);
    proxy.close();
    await sandbox.stop();
  }
}

/** Leads a program to the sandbox, and makes it trust the sandbox's certificate. */
function environment(sandbox, proxy) {
  return {
    PATH: process.env.PATH,
    WEBEX_ACCESS_TOKEN: sandbox.token,
    HTTPS_PROXY: proxy.url,
    NO_PROXY: 'localhost',
    SSL_CERT_FILE: sandbox.caFile,
    REQUESTS_CA_BUNDLE: sandbox.caFile,
  };
}

async function stop(child) {
  if (!child || child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('bots', { concurrency: 2 }, () => {
  for (const bot of BOTS) it(bot.name, { timeout: 60_000 }, () => answers(bot));
});
