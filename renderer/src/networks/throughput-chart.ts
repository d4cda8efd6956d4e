// The live throughput of a network's cards: one line each, what it sent and was given together, over the last two minutes.
// Owns one Chart.js chart on a canvas.
// Never asks for rates; it draws what it is given.

import { Chart, Filler, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip } from 'chart.js';
import { color } from '../state/theme.svelte.ts';
import { bytes } from '../state/words.ts';
import { networkWords } from '../strings/networks.ts';
import { type Rate, WINDOW_SECONDS } from './network-watch.svelte.ts';

Chart.register(LineController, LineElement, PointElement, LinearScale, Filler, Legend, Tooltip);

/** Lines take these in turn. */
const tokens = ['--guest-time', '--hypervisor-time', '--good', '--kind-full', '--kind-para', '--bad'] as const;

export interface Line {
  name: string;
  rates: readonly Rate[];
}

const moment = (seconds: number): string => (seconds === 0 ? networkWords.now : networkWords.ago(-seconds));

export class ThroughputChart {
  readonly #chart: Chart<'line', { x: number; y: number }[]>;

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
        interaction: { mode: 'nearest', axis: 'x', intersect: false },
        scales: {
          x: {
            type: 'linear',
            min: -WINDOW_SECONDS,
            max: 0,
            border: { display: false },
            grid: { drawTicks: false },
            ticks: { stepSize: 30, maxRotation: 0, padding: 6, callback: (value) => moment(Number(value)) },
          },
          y: {
            min: 0,
            suggestedMax: 1024,
            border: { display: false },
            grid: { drawTicks: false },
            ticks: { maxTicksLimit: 4, padding: 8, callback: (value) => `${bytes(Number(value))}/s` },
          },
        },
        plugins: {
          legend: { display: true, position: 'bottom', labels: { boxWidth: 10, boxHeight: 10 } },
          tooltip: {
            callbacks: {
              title: ([item]) => (item ? moment(Math.round(item.parsed.x ?? 0)) : ''),
              label: (item) => `${item.dataset.label}: ${bytes(Math.round(item.parsed.y ?? 0))}/s`,
            },
          },
        },
      },
    });
  }

  draw(lines: readonly Line[], until: number): void {
    this.#chart.data.datasets = lines.map(({ name, rates }, index) => {
      const line = color(tokens[index % tokens.length]!);
      return {
        label: name,
        data: rates.map(({ at, sent, given }) => ({ x: (at - until) / 1000, y: sent + given })),
        borderColor: line,
        backgroundColor: line.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.14)'),
        fill: 'origin',
        pointRadius: 0,
        borderWidth: 1.5,
      };
    });
    const text = color('--text-3');
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
    for (const name of ['x', 'y']) {
      const scale = this.#chart.options.scales?.[name];
      if (scale?.grid) scale.grid.color = color('--line');
      if (scale?.ticks) Object.assign(scale.ticks, { color: text, font });
    }
    Object.assign(this.#chart.options.plugins!.legend!.labels!, { color: color('--text-2'), font });
    this.#chart.update('none');
  }

  destroy(): void {
    this.#chart.destroy();
  }
}
