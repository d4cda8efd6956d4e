// How verbs speak: results on standard output, everything else on standard error, one status at the end.
// Owns the exit statuses and the form of tables, sentences and JSON.
// Never decides what is told.

import { Failure } from '../contract.ts';

/** Exit statuses of the command line; what scripts go by. */
export const Status = { done: 0, failed: 1, wrong: 2, timeout: 124, interrupted: 130, terminated: 143 } as const;

/** The longest a person waits for the next line of progress (milliseconds). */
const PACE = 200;

/** A command line that is wrong: one sentence that says what, and what would be right. */
export class UsageError extends Failure {
  constructor(message: string) {
    super('wrong', message);
  }
}

/** The status an error ends the command with. */
export function statusOf(error: unknown): number {
  if (!(error instanceof Failure)) return Status.failed;
  return error.code === 'wrong' || error.code === 'notFound' ? Status.wrong : Status.failed;
}

/** Prints the one JSON document of a command under `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Tells a person something beside the result. */
export function tell(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

/** Rows as aligned columns, the first row being the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** A bar on standard error where that is a terminal; nothing elsewhere. */
export function progressBar(): { show(part: number): void; end(): void } {
  const isTerminal = process.stderr.isTTY === true;
  let last = 0;
  let isShown = false;
  return {
    show(part) {
      if (!isTerminal || Date.now() - last < PACE) return;
      last = Date.now();
      isShown = true;
      const filled = Math.floor(part * 40);
      process.stderr.write(`\r[${'#'.repeat(filled)}${' '.repeat(40 - filled)}] ${Math.floor(part * 100)} %`);
    },
    end() {
      if (isShown) process.stderr.write('\r\x1b[K');
    },
  };
}
