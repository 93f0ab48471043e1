// The tables of docs/interop.md, which the tests hold to the truth.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './tools.mjs';

/** Stands for any text in a cell. */
const ANY = '*';

const text = readFileSync(join(ROOT, 'docs/interop.md'), 'utf8');

/** Every scenario: `{scenario, client, shows}`. */
export const scenarios = table('Scenario', 'Client', 'Shows');

/** Scenarios that are not run side by side: `{scenario, reason}`. */
export const notCompared = table('Not compared', 'Reason');

/** Listed differences: `{scenarios, request, what, official, ours, reason}`. */
export const differences = table('Scenarios', 'Request', 'What', 'Official', 'Ours', 'Reason');

/** Whether a row of [`differences`] is about a difference in a scenario. */
export function covers(row, scenario, difference) {
  const [scenarios, request, what, official, ours] = row;
  const fits = (cell, value) => cell === ANY || cell.split(', ').includes(value);
  const says = (cell, value) => cell === ANY || cell === value;
  return (
    fits(scenarios, scenario) &&
    fits(request, difference.request) &&
    says(what, difference.what) &&
    says(official, difference.official) &&
    says(ours, difference.ours)
  );
}

/** The rows of the table with these headings; cells without the marks of code. */
function table(...headings) {
  const cells = (line) => line.split('|').slice(1, -1).map((cell) => cell.trim().replaceAll('`', ''));
  const lines = text.split('\n');
  const start = lines.findIndex((line) => cells(line).join('|') === headings.join('|'));
  if (start < 0) throw new Error(`docs/interop.md has no table ${headings.join(' | ')}`);
  const end = lines.findIndex((line, at) => at > start && !line.startsWith('|'));
  return lines.slice(start + 2, end < 0 ? undefined : end).map(cells);
}
