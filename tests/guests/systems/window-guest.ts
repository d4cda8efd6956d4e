// A system guest in the app: started in the manager, seen and worked with in a window of its own, as a person would.
// Owns the app that the guests of one test share, and what is done in its pages.
// Never asks the guest's thread for what the window shows: text, picture, keys and pointer are the window's.
//
// TRIVISOR_PICTURES names a folder that gets a picture of the window each time something that was waited for has come.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build } from '../../../main/build/build.ts';
import type { ByteStream, Client } from '../../../main/contract.ts';
import { visitHome } from '../../../main/home/home.ts';
import { combination, textStrokes } from '../../../main/keyboard/us-layout.ts';
import type { KeyStroke } from '../../../native-free-core/hypervisor/guest-input.ts';
import { drivers, type Running } from '../../e2e/drivers.ts';
import { readPicture } from '../picture.ts';
import { FATAL_INPUT } from './fatal-input.ts';
import { type Picture, type SystemEnd, SystemGuest, type SystemPc } from './system-guest.ts';
import { settingsOf } from './trivisor-guest.ts';

/** Between two strokes, in milliseconds: what a quick typist needs. */
const STROKE_INTERVAL = 20;
/** The longest that a page may take for something that needs no guest (milliseconds). */
const PATIENCE = 120_000;

const [browser] = drivers;

/** The app, its manager's page, and a client beside it that creates guests as the command line does. */
class App {
  readonly isMortal: boolean;
  readonly folder: string;
  readonly running: Running;
  readonly client: Client;
  readonly #leave: () => Promise<void>;
  guests = 0;
  /** One act in the manager's page at a time. */
  #acts: Promise<unknown> = Promise.resolve();

  private constructor(
    isMortal: boolean,
    folder: string,
    running: Running,
    visit: { client: Client; close(): Promise<void> },
  ) {
    this.isMortal = isMortal;
    this.folder = folder;
    this.running = running;
    this.client = visit.client;
    this.#leave = visit.close;
  }

  static async launch(isMortal: boolean): Promise<App> {
    if (browser!.unavailable) throw new Error(browser!.unavailable);
    await build();
    const folder = mkdtempSync(join(tmpdir(), 'trivisor-windows-'));
    const home = join(folder, 'home');
    const machineModule = isMortal ? new URL('./mortal-machine.ts', import.meta.url).href : undefined;
    const running = await browser!.launch({ home, machineModule });
    running.page.setDefaultTimeout(PATIENCE);
    return new App(isMortal, folder, running, await visitHome({ home }));
  }

  act<Result>(act: (page: Page) => Promise<Result>): Promise<Result> {
    const done = this.#acts.then(() => act(this.running.page));
    this.#acts = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    await this.#leave();
    await this.running.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let shared: Promise<App> | undefined;

/** The app of all guests there are now. A guest that will be killed comes first: the app is then another. */
async function enter(isMortal: boolean): Promise<App> {
  const app = await (shared ??= App.launch(isMortal));
  if (isMortal && !app.isMortal) throw new Error('A guest that will be killed must be the first of its app.');
  app.guests++;
  return app;
}

async function leave(app: App): Promise<void> {
  if (--app.guests > 0) return;
  shared = undefined;
  await app.close();
}

export async function startInWindow(pc: SystemPc): Promise<SystemGuest> {
  const app = await enter(pc.mortal === true);
  try {
    const { id } = await app.client.call('guests.create', { settings: settingsOf(pc) });
    const window = await app.act(async (page) => {
      await page.getByRole('tree', { name: 'Guests' }).getByRole('treeitem').filter({ hasText: pc.name }).click();
      await page.getByRole('heading', { name: pc.name }).waitFor();
      await page.getByRole('button', { name: 'Start', exact: true }).click();
      return app.running.opened(() => page.getByRole('button', { name: 'Display', exact: true }).click());
    });
    window.setDefaultTimeout(PATIENCE);
    await window.locator('[data-frames]:not([data-frames="0"])').waitFor();
    return new WindowGuest(pc, app, id, window);
  } catch (error) {
    await leave(app);
    throw error;
  }
}

class WindowGuest extends SystemGuest {
  ended: SystemEnd | undefined;
  readonly #app: App;
  readonly #id: string;
  readonly #window: Page;
  readonly #console: ByteStream;
  readonly #over: Promise<void>;
  /** Where the pointer was put, in pixels of the picture. */
  #at: readonly [number, number] | undefined;
  #pictures = 0;

  constructor(pc: SystemPc, app: App, id: string, window: Page) {
    super(pc);
    this.#app = app;
    this.#id = id;
    this.#window = window;
    const decoder = new TextDecoder('latin1');
    const over = Promise.withResolvers<void>();
    this.#over = over.promise;
    app.client.on('guest.ended', (event) => {
      if (event.id !== id) return;
      const { reason, detail } = event.end;
      this.ended = { reason: reason === 'powerOff' ? 'powerOff' : 'other', detail: `${reason}: ${detail}` };
      over.resolve();
    });
    this.#console = app.client.open(
      'console',
      { guest: id, port: 1 },
      {
        data: (bytes) => {
          this.serialRaw += decoder.decode(bytes);
        },
      },
    );
  }

  async screen(): Promise<string | undefined> {
    const rows = this.#window.getByTestId('screen-text');
    const select = this.#window.getByRole('button', { name: 'Select text', pressed: false });
    // A guest that listens to a mouse has the pointer, until a person wants to select.
    if ((await rows.count()) === 0 && (await select.count()) > 0) await select.click();
    if ((await rows.count()) === 0) return undefined;
    return (await rows.locator('div').allTextContents()).map((row) => row.trimEnd()).join('\n');
  }

  async picture(): Promise<Picture> {
    const button = this.#window.getByRole('button', { name: 'Screenshot', exact: true });
    const [saved] = await Promise.all([this.#window.waitForEvent('download'), button.click()]);
    const file = join(this.#app.folder, `${this.#id}.png`);
    await saved.saveAs(file);
    return readPicture(file);
  }

  async #strokes(strokes: readonly KeyStroke[]): Promise<void> {
    // What was done with the window's buttons has taken the keyboard away.
    await this.#window.getByRole('application').focus();
    const { keyboard } = this.#window;
    for (const { code, pressed } of strokes) {
      await (pressed ? keyboard.down(code) : keyboard.up(code));
      await this.#window.waitForTimeout(STROKE_INTERVAL);
    }
  }

  type(text: string): Promise<void> {
    return this.#strokes(textStrokes(text));
  }

  press(...codes: string[]): Promise<void> {
    return this.#strokes(combination(codes));
  }

  async movePointer(dx: number, dy: number): Promise<void> {
    const window = this.#window;
    await window.locator('[data-way=absolute]').waitFor();
    const canvas = window.locator('canvas');
    const [width, height] = [Number(await canvas.getAttribute('width')), Number(await canvas.getAttribute('height'))];
    const [x, y] = (this.#at ??= [width / 2, height / 2]);
    this.#at = [Math.max(0, Math.min(width - 1, x + dx)), Math.max(0, Math.min(height - 1, y + dy))];
    const box = (await canvas.boundingBox())!;
    await window.mouse.move(box.x + (this.#at[0] / width) * box.width, box.y + (this.#at[1] / height) * box.height);
  }

  async click(): Promise<void> {
    // The host's pointer has been to the window's buttons since.
    await this.movePointer(0, 0);
    await this.#window.mouse.down();
    await this.#window.waitForTimeout(2 * STROKE_INTERVAL);
    await this.#window.mouse.up();
  }

  typeSerial(text: string): void {
    this.#console.write(new TextEncoder().encode(text));
  }

  async #choose(item: string): Promise<void> {
    await this.#window.getByRole('button', { name: 'Machine', exact: true }).click();
    await this.#window.getByRole('menuitem', { name: item, exact: true }).click();
  }

  powerButton(): void {
    this.#choose('Stop').catch((error: Error) => {
      this.ended ??= { reason: 'other', detail: `its window could not ask it to stop: ${error.message}` };
    });
  }

  async pause(): Promise<void> {
    await this.#choose('Pause');
    await this.#window.getByRole('button', { name: 'Resume', exact: true }).waitFor();
  }

  async resume(): Promise<void> {
    await this.#window.getByRole('button', { name: 'Resume', exact: true }).click();
    await this.#window.getByRole('button', { name: 'Resume', exact: true }).waitFor({ state: 'detached' });
  }

  async kill(): Promise<void> {
    this.typeSerial(FATAL_INPUT);
    await this.#over;
    await this.#window.getByRole('button', { name: 'Start', exact: true }).waitFor();
  }

  override async waitFor<Found>(what: string, seconds: number, look: () => Promise<Found | undefined>): Promise<Found> {
    try {
      return await super.waitFor(what, seconds, look);
    } finally {
      const folder = process.env.TRIVISOR_PICTURES;
      if (folder) {
        mkdirSync(folder, { recursive: true });
        const name = `${this.pc.name} ${++this.#pictures}.png`.replaceAll(/[^A-Za-z0-9.]+/g, '-');
        await this.#window.screenshot({ path: join(folder, name) });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { client } = this.#app;
    if (!this.ended) await client.call('guests.stop', { guest: this.#id, force: true });
    await this.#over;
    this.#console.close();
    await this.#window.close();
    await client.call('guests.remove', { guest: this.#id });
    await leave(this.#app);
  }
}
