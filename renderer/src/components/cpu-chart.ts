// The live CPU chart: guest time and hypervisor time stacked, over the last two minutes.
// Owns one Chart.js chart on a canvas.
// Never asks for samples; it draws what it is given.

import { Chart, Filler, LinearScale, LineController, LineElement, PointElement, Tooltip } from 'chart.js';
import type { StatsSample } from '../contract.ts';
import { color } from '../state/theme.svelte.ts';

Chart.register(LineController, LineElement, PointElement, LinearScale, Filler, Tooltip);

export const WINDOW_SECONDS = 120;

export class CpuChart {
  #isLive = true;
  readonly #chart: Chart<'line', { x: number; y: number }[]>;

  /**
   * `cores`: how many host cores the guest can fill; the scale ends there, at 100 % each. `other`: what is drawn on top of
   * the guest's own time.
   */
  constructor(canvas: HTMLCanvasElement, cores: number, other = 'Hypervisor') {
    this.#chart = new Chart(canvas, {
      type: 'line',
      data: {
        datasets: [
          { label: 'Guest', data: [], fill: 'origin', pointRadius: 0, borderWidth: 1.5 },
          { label: other, data: [], fill: '-1', pointRadius: 0, borderWidth: 1.5 },
        ],
      },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        interaction: { mode: 'index', intersect: false },
        scales: {
          x: {
            type: 'linear',
            min: -WINDOW_SECONDS,
            max: 0,
            grid: { drawTicks: false },
            border: { display: false },
            ticks: {
              stepSize: 30,
              maxRotation: 0,
              padding: 6,
              callback: (value) => this.#moment(Number(value)),
            },
          },
          y: {
            stacked: true,
            min: 0,
            max: 100 * cores,
            border: { display: false },
            grid: { drawTicks: false },
            ticks: { stepSize: cores > 1 ? 50 * cores : 25, padding: 8, callback: (value) => `${value} %` },
          },
        },
        plugins: {
          tooltip: {
            callbacks: {
              title: ([item]) => (item ? this.#moment(Math.round(item.parsed.x ?? 0)) : ''),
              label: (item) => `${item.dataset.label}: ${(item.parsed.y ?? 0).toFixed(1)} % of a core`,
            },
          },
        },
      },
    });
    this.recolor();
  }

  /**
   * Draws the samples of the two minutes up to `until` (milliseconds since the epoch): now if the guest is live, else
   * the end of its last run.
   */
  draw(samples: readonly StatsSample[], until: number, isLive: boolean): void {
    this.#isLive = isLive;
    const [guest, hypervisor] = this.#chart.data.datasets;
    const x = (sample: StatsSample) => (sample.at - until) / 1000;
    guest.data = samples.map((sample) => ({ x: x(sample), y: sample.guestPercent }));
    hypervisor.data = samples.map((sample) => ({ x: x(sample), y: sample.hypervisorPercent + sample.kernelPercent }));
    this.#chart.update('none');
  }

  /** Seconds relative to the right edge, in words. */
  #moment(seconds: number): string {
    if (seconds === 0) return this.#isLive ? 'now' : 'end';
    return `${-seconds} s ${this.#isLive ? 'ago' : 'before'}`;
  }

  /** Takes the colours of the present theme. */
  recolor(): void {
    const [guest, hypervisor] = this.#chart.data.datasets;
    for (const [dataset, token] of [
      [guest, '--guest-time'],
      [hypervisor, '--hypervisor-time'],
    ] as const) {
      const line = color(token);
      dataset.borderColor = line;
      dataset.backgroundColor = line.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.28)');
    }
    const grid = color('--line');
    const text = color('--text-3');
    for (const name of ['x', 'y']) {
      const scale = this.#chart.options.scales?.[name];
      if (scale?.grid) scale.grid.color = grid;
      if (scale?.ticks) {
        scale.ticks.color = text;
        Object.assign(scale.ticks, { font: { family: getComputedStyle(document.body).fontFamily, size: 11 } });
      }
    }
    this.#chart.update('none');
  }

  destroy(): void {
    this.#chart.destroy();
  }
}
