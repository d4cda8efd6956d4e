// What the check of an image finds: counts by kind, and the first sentences of detail.
// Owns the shape that all formats report in.
// Never says more than a screen holds.

export interface Findings {
  /** Places of the file that are counted as used, and are not: only room is lost. */
  leaks: number;
  /** Metadata that is wrong in a way that can be set right without losing data. */
  corruptions: number;
  /** What cannot be set right: entries that lead nowhere. */
  damages: number;
  /** Leaks and corruptions that were set right, when that was asked for. */
  repaired: number;
  /** Bytes of the disk that have a place in the file. */
  allocated: number;
  /** The first findings, in words. */
  details: string[];
}

const DETAILS_MAX = 20;

export function newFindings(): Findings {
  return { leaks: 0, corruptions: 0, damages: 0, repaired: 0, allocated: 0, details: [] };
}

/** Adds a sentence; as `damage` it is counted as one. */
export function note(findings: Findings, kind: 'damage' | 'text', sentence: string): void {
  if (kind === 'damage') findings.damages++;
  if (findings.details.length < DETAILS_MAX) findings.details.push(sentence);
}
