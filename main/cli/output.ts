// How verbs speak: results on standard output, everything else on standard error, one status at the end.
// Owns the exit statuses and the form of tables, sentences and JSON.
// Never decides what is told.

import { Failure } from '../contract.ts';

/** Exit statuses of the command line; what scripts go by. */
export const Status = { done: 0, failed: 1, wrong: 2, timeout: 124, interrupted: 130, terminated: 143 } as const;

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
