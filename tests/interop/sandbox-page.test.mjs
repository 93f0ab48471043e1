// The sandbox's page: what is clicked reaches the clients of the sandbox, and what they do is shown.
//
// With `WEBEX_PAGE_SCREENSHOT` a picture of the page is written to that file.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { CommandClient } from './lib/command.mjs';
import { Sandbox } from './lib/sandbox.mjs';
import { Watcher } from './lib/watcher.mjs';

/** Makes a test with a sandbox and its page; both are closed, and what holds for every test checked. */
function test(name, { keepaliveS = 1 } = {}, run) {
  it(name, { timeout: 120_000 }, async () => {
    const sandbox = await Sandbox.start({ keepaliveS });
    let [watcher, client] = [];
    try {
      watcher = await Watcher.open(sandbox);
      const start = async (product) => (client = await CommandClient.open(sandbox, { product }));
      await run({ sandbox, watcher, page: watcher.page, start });
      assert.deepEqual(watcher.faults, []);
      assert.ok(watcher.received.length > 5);
      for (const text of watcher.received) assert.ok(!text.includes(sandbox.token), 'a token');
    } finally {
      await client?.close();
      await watcher?.close();
      await sandbox.stop();
    }
  });
}

describe('the page of the sandbox', { concurrency: 2 }, () => {
  test('a fault set by a click changes what a client sees', {}, async ({ page, watcher, start }) => {
    await page.locator('#fault-example').selectOption({ label: 'Mobius: not entitled (403, code 102)' });
    await watcher.button('Set fault').click();
    await watcher.told('Fault 1 is set.');
    await watcher.button('Clear fault 1').waitFor();
    assert.deepEqual((await watcher.cells('faults'))[0].slice(0, 6), [
      '1',
      'mobius.register',
      'status 403, {"errorCode":102}',
      '',
      '0',
      '1',
    ]);

    const client = await start('calling');
    const error = await client.until('error');
    assert.equal(error.type, 'registrationError');
    assert.match(error.msg, /not configured for Webex Calling/);
    await watcher.until(() => document.querySelector('#faults tbody').textContent.includes('used up'));
    await page.locator('#requests tbody tr', { hasText: 'mobius.register' }).waitFor();
    const [row] = (await watcher.cells('requests')).filter((cells) => cells[3] === 'mobius.register');
    assert.equal(row[2], '403');
    await watcher.button('Clear fault 1').click();
    await page.getByText('No fault is set.').waitFor();
  });

  test('countdowns move, and keepalives wind them up', { keepaliveS: 3 }, async (t) => {
    const { watcher, sandbox, start } = t;
    await start('calling');
    await sandbox.until({ lines: 1 });
    const left = () => Number.parseFloat(document.querySelector('#lines .left')?.textContent.slice(3));
    const first = await watcher.until(left);
    assert.ok(first > 0 && first <= 3, `${first} s`);
    const later = await watcher.until(
      (before) => {
        const now = Number.parseFloat(document.querySelector('#lines .left').textContent.slice(3));
        return now < before - 0.5 && now;
      },
      first,
    );
    await sandbox.until({ target: 'mobius.status', requests: 2, status: 200 });
    await watcher.until(() => Number(document.querySelector('#lines tbody tr').cells[3].textContent) >= 2);
    await watcher.until(
      (before) => Number.parseFloat(document.querySelector('#lines .left').textContent.slice(3)) > before,
      later,
    );
    const [line] = await watcher.cells('lines');
    assert.deepEqual([line[0], line[1], line[5]], [sandbox.user.email, 'primary-1', 'registered']);
  });

  test('sockets are closed, dropped and silenced by clicks', {}, async (t) => {
    const { page, sandbox, watcher, start } = t;
    const client = await start('meetings');
    await client.until('meetings:registered');
    await page.locator('#close-code').fill('1001');
    await page.locator('#close-reason').fill('moving house');
    await watcher.button('Close socket 1').click();
    await client.until('network:disconnected');
    await client.until('network:connected');
    const [closed] = await sandbox.closedSockets();
    assert.deepEqual(closed.closed, { by: 'server', code: 1001, reason: 'moving house' });

    await watcher.button('Silence socket 2').click();
    await page.locator('#sockets button[aria-pressed="true"]').waitFor();
    assert.equal((await sandbox.sockets())[0].silent, true);
    await watcher.button('Silence socket 2').click();
    await page.locator('#sockets button[aria-pressed="false"]').waitFor();

    await watcher.button('Drop socket 2').click();
    await client.until('network:disconnected');
    await client.until('network:connected');
    assert.equal((await sandbox.closedSockets())[1].closed.by, 'lost');
    await watcher.button('Shut down socket 3').waitFor();
  });

  test('instances, devices, lines, tokens and latency are switched by clicks', {}, async (t) => {
    const { page, sandbox, watcher, start } = t;
    await page.getByRole('switch', { name: 'primary-1 answers' }).click();
    await watcher.until(() => document.querySelector('#instances [aria-checked="false"]'));
    await start('both');
    await sandbox.until({ lines: 1, devices: 1 });
    await page.locator('#lines tbody tr', { hasText: 'primary-2' }).waitFor();

    await page.getByRole('button', { name: /^Expire line of/ }).click();
    await sandbox.until({ target: 'mobius.register', instance: 'primary-2', requests: 2 });
    await page.getByRole('button', { name: /^Expire device webex-native/ }).click();
    await sandbox.until({ devices: 0 });

    await page.getByLabel('Each answer, ms').fill('20');
    await watcher.button('Set latency').click();
    await watcher.told('The latency is set.');
    assert.equal((await sandbox.ask('GET', '')).latency.request_s, 0.02);

    await watcher.button(`Revoke tokens of ${sandbox.user.email}`).click();
    await watcher.until(() => document.querySelector('#users tbody tr').cells[2].textContent === '0');
    await sandbox.until({ target: 'mobius.status', status: 401, requests: 1 });
  });

  test('the log is filtered, and shows a request in full', {}, async (t) => {
    const { page, sandbox, watcher, start } = t;
    const bob = await sandbox.ask('POST', '/users', { email: 'bob@example.com' });
    await sandbox.fail({ target: 'mobius.status', status: 503, times: 1 });
    await start('both');
    await sandbox.until({ target: 'mobius.status', requests: 2 });
    await sandbox.until({ target: 'mobius.status', status: 503, requests: 1 });
    const filter = (name) => page.locator(`#filter [name="${name}"]`);
    const only = (column, value) =>
      watcher.until(
        ([at, wanted]) => {
          const rows = [...document.querySelectorAll('#requests tbody tr')];
          return rows.length > 0 && rows.every((row) => row.cells[at].textContent === wanted);
        },
        [column, value],
      );
    await filter('status').fill('5xx');
    await only(2, '503');
    await filter('status').fill('');
    await filter('target').selectOption('wdm');
    await only(3, 'wdm.register');
    await watcher.button('Reset filter').click();
    await filter('instance').selectOption('primary-1');
    await only(4, 'primary-1');
    await filter('user').selectOption(bob.id);
    await page.getByText('No request fits.').waitFor();
    await watcher.button('Reset filter').click();
    await filter('text').fill('DEVICETYPE');
    await only(3, 'wdm.register');

    const [number] = (await watcher.cells('requests'))[0];
    await page.getByRole('button', { name: `Request ${number}, all of it` }).click();
    const whole = page.getByRole('dialog');
    await whole.getByText('"deviceType": "WEB"').waitFor();
    await whole.getByText(/authorization: Bearer \[redacted [0-9a-f]{8}\]/).waitFor();
    await page.keyboard.press('Escape');
    await whole.waitFor({ state: 'hidden' });
  });

  test('everything can be done with the keyboard alone', {}, async ({ page, sandbox, watcher }) => {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, 'none');

    await watcher.tabTo('#instances [role="switch"]');
    await page.keyboard.press('Space');
    await watcher.until(() => document.querySelector('#instances [aria-checked="false"]'));
    // The table was brought up to date under the focus.
    assert.ok(await page.evaluate(() => document.activeElement.matches('[aria-checked="false"]')));

    await watcher.tabTo('#fault [name="status"]');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('429');
    await page.keyboard.press('Tab');
    await page.keyboard.type('7');
    await page.keyboard.press('Enter');
    await watcher.told('Fault 1 is set.');
    const [fault] = await sandbox.ask('GET', '/faults');
    assert.deepEqual([fault.status, fault.headers['Retry-After']], [429, '7']);

    await watcher.button('Clear fault 1').waitFor();
    await watcher.tabTo('#faults td button');
    await page.keyboard.press('Enter');
    await page.getByText('No fault is set.').waitFor();
    // Its row is gone with the button; the focus is still in its section.
    assert.ok(await page.evaluate(() => document.activeElement.closest('#faults')));
  });

  test('what is wrong is told and sets nothing', {}, async ({ page, sandbox, watcher }) => {
    await page.locator('#fault [name="body"]').fill('{"errorCode": ');
    await watcher.button('Set fault').click();
    await watcher.told('The body is not JSON.');
    assert.equal(await page.locator('#outcome').getAttribute('data-bad'), 'true');
    assert.deepEqual(await sandbox.ask('GET', '/faults'), []);
    await page.locator('#fault [name="what"]').selectOption('hang');
    assert.equal(await page.locator('#fault [name="body"]').isVisible(), false);
    await watcher.button('Set fault').click();
    await watcher.told('Fault 1 is set.');
    assert.equal((await sandbox.ask('GET', '/faults'))[0].break, 'hang');
  });

  test('two thousand lines do not freeze it', { keepaliveS: 30 }, async (t) => {
    const { page, sandbox, watcher } = t;
    // The longest time in which the page did nothing else.
    await page.evaluate(() => {
      window.longest = 0;
      let last = performance.now();
      setInterval(() => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - last);
        last = now;
      }, 20);
    });
    await register(sandbox, 2_000);
    await watcher.until(() => document.querySelector('#lines [data-pager]').textContent.includes('1–50 of 2,000'));
    assert.equal(await watcher.rows('lines').count(), 50);
    assert.ok((await watcher.rows('requests').count()) <= 50);
    await page.getByRole('button', { name: 'lines, next page' }).click();
    await watcher.until(() => document.querySelector('#lines [data-pager]').textContent.includes('51–100'));
    await watcher.until(() => document.querySelector('[data-count="lines"]').textContent === '2,000');
    const longest = await page.evaluate(() => window.longest);
    assert.ok(longest < 2_000, `it stood still for ${longest} ms`);

    await page.locator('#filter [name="target"]').selectOption('mobius.register');
    await page.locator('#requests [data-pager] button', { hasText: 'Older' }).click();
    await page.getByText(/^before number \d+$/).waitFor();
    await page.locator('#requests [data-pager] button', { hasText: 'Newer' }).click();
    await page.getByText('newest', { exact: true }).waitFor();
  });

  it('says when the sandbox is gone', { timeout: 120_000 }, async () => {
    const sandbox = await Sandbox.start();
    const watcher = await Watcher.open(sandbox);
    try {
      await sandbox.stop();
      await watcher.page.locator('#connection[data-state="lost"]').waitFor();
      assert.match(await watcher.page.locator('#connection').textContent(), /does not answer/);
    } finally {
      await watcher.close();
    }
  });

  // The picture of the documentation is a by-product of a test: where it goes, if anywhere.
  const picture = process.env.WEBEX_PAGE_SCREENSHOT;
  it('shows two users, their requests and a faulty cloud at once', { timeout: 120_000 }, async () => {
    const sandbox = await Sandbox.start({ keepaliveS: 30 });
    const watcher = await Watcher.open(sandbox, { viewport: { width: 1400, height: 900 } });
    const clients = [];
    try {
      clients.push(await CommandClient.open(sandbox, { product: 'both' }));
      await sandbox.until({ lines: 1, authorized_sockets: 1 });
      await sandbox.becomeUser({ email: 'bob@sandbox.example' });
      await sandbox.fail({ target: 'mobius.register', instance: 'primary-1', status: 503, times: 2 });
      await sandbox.fail({ target: 'mobius.status', skip: 3, status: 404, times: 1 });
      clients.push(await CommandClient.open(sandbox, { product: 'both' }));
      await sandbox.until({ lines: 2, authorized_sockets: 2 });
      await sandbox.ask('PUT', '/instances/backup-2', { down: true });
      await watcher.until(() => document.querySelectorAll('#lines tbody tr').length === 2);
      await watcher.until(() => document.querySelector('#instances [aria-checked="false"]'));
      await watcher.until(() => document.querySelectorAll('#requests tbody tr').length > 12);
      const shown = await watcher.page.screenshot({ path: picture, fullPage: true });
      assert.ok(shown.length > 10_000, 'a picture with something on it');
    } finally {
      for (const client of clients) await client.close();
      await watcher.close();
      await sandbox.stop();
    }
  });
});

/** Registers lines, each of a device of its own and twenty for each user. */
async function register(sandbox, lines) {
  const serviceData = { indicator: 'calling', domain: '' };
  for (let user = 0; user < lines / 20; user += 1) {
    await sandbox.becomeUser({});
    const one = (_, device) => sandbox.serve('POST', '/mobius/backup-1/api/v1/calling/web/device', {
      userId: sandbox.user.id,
      clientDeviceUri: `https://client.example/devices/${device}`,
      serviceData,
    });
    await Promise.all(Array.from({ length: 20 }, one));
  }
}
