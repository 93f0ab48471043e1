// Where the programs are that the scenarios run. A missing one is an error that says what to do.

import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this suite. */
export const SUITE = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The root of the workspace. */
export const ROOT = resolve(SUITE, '../..');

/** The `webex` command, as last built. */
export async function webexBinary() {
  return present(join(targetDirectory(), 'debug/webex'), 'cargo build -p webex-cli');
}

/** Where cargo puts what it builds. */
export function targetDirectory() {
  return resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target');
}

/** Chromium: `$CHROMIUM`, or the Debian package's. */
export async function chromium() {
  return present(process.env.CHROMIUM ?? '/usr/bin/chromium', 'cargo xtask setup');
}

/** A browser bundle of the official package. */
export async function bundle(name) {
  return present(join(SUITE, 'node_modules/webex/umd', name), 'cargo xtask setup');
}

/** `path`, if it is there. */
export async function present(path, remedy) {
  try {
    await access(path);
  } catch {
    throw new Error(`${path} is missing; run \`${remedy}\``);
  }
  return path;
}
