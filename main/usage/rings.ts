// One subject's figures in rings of different fineness: what comes each second goes into the present point of every ring.
// Owns the arithmetic of points: means over the time that was measured, and peaks.
// Never reads a clock, and never writes anything down: whoever owns it takes the points that changed.

import { peakFields, type UsageRange, usageRangeNames, usageRanges } from '../contract.ts';

/** A point of a ring. */
export interface UsagePoint {
  range: UsageRange;
  /** When it begins: milliseconds since the epoch, a multiple of its ring's step. */
  at: number;
  /** Seconds that were measured. */
  seconds: number;
  values: Float32Array;
}

/** What was measured over some time up to a moment. */
export interface UsageSample {
  /** Milliseconds since the epoch. */
  at: number;
  seconds: number;
  /** In the order of the subject's fields. */
  values: readonly number[];
}

/** The place of a point in its ring: what is there is a whole turn older. */
export function slotOf(range: UsageRange, at: number): number {
  const { span, step } = usageRanges[range];
  return Math.floor(at / (step * 1000)) % (span / step);
}

/** How points are found that are there already: those of the last run of this process, or of before the clock went back. */
export type FindPoint = (range: UsageRange, at: number) => UsagePoint | undefined;

export class Rings {
  readonly #isPeak: readonly boolean[];
  readonly #find: FindPoint;
  readonly #present = new Map<UsageRange, UsagePoint>();
  #last = -Infinity;

  constructor(fields: readonly string[], find: FindPoint) {
    this.#isPeak = fields.map((field) => peakFields.has(field));
    this.#find = find;
  }

  /**
   * Takes a sample. Answers the points that are other than before, and whether the clock has gone back: what was noted of times
   * that are yet to come is to be forgotten then, before the points are written.
   */
  add({ at, seconds, values }: UsageSample): { points: UsagePoint[]; wentBack: boolean } {
    // A sample belongs to the middle of its time: a timer that is a little late leaves no second out.
    const middle = at - Math.min(seconds, 1) * 500;
    const wentBack = middle < this.#last - 1000;
    this.#last = middle;
    if (wentBack) this.#present.clear();
    const points = usageRangeNames.map((range) => {
      const step = usageRanges[range].step * 1000;
      const begin = Math.floor(middle / step) * step;
      let point = this.#present.get(range);
      if (point?.at !== begin) {
        point = this.#find(range, begin) ?? {
          range,
          at: begin,
          seconds: 0,
          values: new Float32Array(this.#isPeak.length),
        };
        this.#present.set(range, point);
      }
      this.#merge(point, Math.min(seconds, usageRanges[range].step), values);
      return point;
    });
    return { points, wentBack };
  }

  #merge(point: UsagePoint, seconds: number, values: readonly number[]): void {
    const { step } = usageRanges[point.range];
    const whole = point.seconds + seconds;
    const part = whole > 0 ? seconds / whole : 1;
    for (const [index, isPeak] of this.#isPeak.entries()) {
      const [before, value] = [point.values[index]!, values[index]!];
      point.values[index] = isPeak ? Math.max(before, value) : before + (value - before) * part;
    }
    // A clock that goes back lives through the same seconds again.
    point.seconds = Math.min(step, whole);
  }
}
