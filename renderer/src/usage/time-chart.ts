// A chart of lines or stacked areas over time, up to now.
// Owns one Chart.js chart on a canvas, which is laid out once: only its lines and its time move.
// Never asks for figures; it draws what it is given.

import { Chart, Filler, LinearScale, LineController, LineElement, PointElement, Tooltip } from 'chart.js';
import { color } from '../state/theme.svelte.ts';
import { bytes, mebibytes, percent, quantity } from '../state/words.ts';
import { spoken } from '../strings/section.ts';
import { type Columns, thinned } from './columns.ts';

Chart.register(LineController, LineElement, PointElement, LinearScale, Filler, Tooltip);

/** What values are, and how they are told. */
export const units = {
  percent,
  mebibytes,
  bytesPerSecond: (value: number) => `${bytes(Math.round(value))}/s`,
  perSecond: (value: number) => `${quantity(value)}/s`,
} as const;
export type Unit = keyof typeof units;

/** A line: what it is called, its colour token, and its values at the columns' moments. */
export interface Line {
  label: string;
  /** What it is, where its name does not tell. */
  means?: string;
  token: string;
  values: readonly number[];
  /** Drawn as a line alone, beside what is stacked: a bound. */
  isBound?: boolean;
}

export interface Picture {
  columns: Columns;
  lines: readonly Line[];
  unit: Unit;
  isStacked: boolean;
  /** The scale ends here, or later where values are larger. */
  least: number;
}

/** Points that a chart of usual width can show. */
const POINTS = 300;
/** Pixels of a moment's label with its distance to the next. */
const LABEL_WIDTH = 72;
/** Parts of the scale that are marked at most. */
const MARKS = 4;
/** Pixels that the labels of the scale take, so that the lines stay where they are as values grow. */
const SCALE_WIDTH = 64;

export class TimeChart {
  readonly #chart: Chart<'line', { x: number; y: number }[]>;
  #unit: Unit = 'percent';
  #step = 1;

  constructor(canvas: HTMLCanvasElement) {
    this.#chart = new Chart(canvas, {
      type: 'line',
      data: { datasets: [] },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        // A label that comes to the edge must not move everything else.
        layout: { autoPadding: false, padding: { right: 20, top: 6 } },
        interaction: { mode: 'index', intersect: false },
        scales: {
          x: {
            type: 'linear',
            border: { display: false },
            grid: { drawTicks: false },
            ticks: {
              maxRotation: 0,
              padding: 6,
              callback: (value) => this.#moment(Number(value), false),
            },
            afterBuildTicks: (axis) => {
              const most = Math.max(2, Math.floor(axis.width / LABEL_WIDTH));
              axis.ticks = ticksOf(axis.min, axis.max, most).map((value) => ({ value }));
            },
          },
          y: {
            min: 0,
            border: { display: false },
            grid: { drawTicks: false },
            afterFit: (axis) => {
              axis.width = SCALE_WIDTH;
            },
            afterBuildTicks: (axis) => {
              if (this.#unit === 'mebibytes' || this.#unit === 'bytesPerSecond')
                axis.ticks = binaryTicks(axis.max).map((value) => ({ value }));
            },
            ticks: { maxTicksLimit: 5, padding: 8, callback: (value) => units[this.#unit](Number(value)) },
          },
        },
        plugins: {
          // The page has one, which tells values too.
          legend: { display: false },
          tooltip: {
            filter: ({ parsed }) => !Number.isNaN(parsed.y),
            callbacks: {
              title: ([item]) => (item ? this.#moment(item.parsed.x ?? 0, true) : ''),
              label: (item) => `${item.dataset.label}: ${units[this.#unit](item.parsed.y ?? 0)}`,
            },
          },
        },
      },
    });
  }

  draw({ columns, lines, unit, isStacked, least }: Picture): void {
    this.#unit = unit;
    this.#step = columns.step;
    const { at, lines: thin } = thinned(
      columns,
      lines.map(({ values }) => values),
      POINTS,
    );
    const { datasets } = this.#chart.data;
    datasets.length = lines.length;
    let below = -1;
    for (const [index, { label, token, isBound }] of lines.entries()) {
      const values = thin[index]!;
      const data = at.map((x, place) => ({ x, y: values[place]! }));
      const line = color(token);
      const isArea = isStacked && !isBound;
      const fill = isArea ? (below < 0 ? 'origin' : '-1') : isBound ? false : 'origin';
      const look = {
        label,
        data,
        fill,
        stack: isArea ? 'areas' : label,
        borderColor: line,
        backgroundColor: line.replace(/^rgb\((.*)\)$/, `rgba($1, ${isArea ? 0.35 : 0.12})`),
        borderDash: isBound ? [5, 4] : [],
        borderWidth: isArea ? 1 : 1.5,
        pointRadius: 0,
        spanGaps: false,
      };
      datasets[index] = Object.assign(datasets[index] ?? {}, look);
      if (isArea) below = index;
    }
    const { x, y } = this.#chart.options.scales!;
    x!.min = columns.now - columns.span * 1000;
    x!.max = columns.now;
    Object.assign(y!, { stacked: isStacked, max: scaleEnd(highest(thin, lines, isStacked), least, unit) });
    const text = color('--text-3');
    const grid = color('--line');
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
    for (const scale of [x!, y!]) {
      Object.assign(scale.grid!, { color: grid });
      Object.assign(scale.ticks!, { color: text, font });
    }
    this.#chart.update('none');
  }

  /** A moment as the range needs it: with seconds, or with the day. */
  #moment(at: number, isWhole: boolean): string {
    const isDays = this.#step >= 3600;
    const day = isDays || isWhole ? ({ day: 'numeric', month: 'short' } as const) : {};
    const time = !isDays || isWhole ? ({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const) : {};
    const seconds = isWhole && this.#step < 60 ? ({ second: '2-digit' } as const) : {};
    return new Date(at).toLocaleString(spoken(), { ...day, ...time, ...seconds });
  }

  destroy(): void {
    this.#chart.destroy();
  }
}

/** Whole minutes, hours or days in the reader's own time zone, as many as there is room for. */
function ticksOf(from: number, to: number, most: number): number[] {
  const lengths = [60, 120, 300, 900, 3600, 14_400, 21_600, 43_200, 86_400, 5 * 86_400, 10 * 86_400].map(
    (seconds) => seconds * 1000,
  );
  const length = lengths.find((each) => (to - from) / each <= most) ?? lengths.at(-1)!;
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const first = Math.ceil((from - zone) / length) * length + zone;
  const ticks: number[] = [];
  for (let at = first; at <= to; at += length) ticks.push(at);
  return ticks;
}

/** The highest that is drawn. */
function highest(thin: readonly (readonly number[])[], lines: readonly Line[], isStacked: boolean): number {
  let most = 0;
  for (let place = 0; place < (thin[0]?.length ?? 0); place++) {
    let stack = 0;
    for (const [index, { isBound }] of lines.entries()) {
      const value = thin[index]![place]!;
      if (Number.isNaN(value)) continue;
      stack += isStacked && !isBound ? value : 0;
      most = Math.max(most, value, stack);
    }
  }
  return most;
}

/** Where a scale ends: at `least` where that is enough for all but rounding, else at a round number above. */
function scaleEnd(most: number, least: number, unit: Unit): number {
  if (most <= least * 1.02) return least;
  if (unit === 'mebibytes' || unit === 'bytesPerSecond') {
    const step = binaryStep(most);
    return Math.ceil(most / step) * step;
  }
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((part) => part * power).find((end) => end >= most)!;
}

/** A power of two, so that marks are round in KiB and MiB. */
function binaryStep(end: number): number {
  return 2 ** Math.ceil(Math.log2(end / MARKS));
}

function binaryTicks(end: number): number[] {
  const step = binaryStep(end);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}
