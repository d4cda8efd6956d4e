// A stand-in for the few Electron modules that the main process uses, with Chromium pages as its windows.
// Owns the windows, the message ports into them and the answers of the page's scheme.
// Never more forgiving than Electron where the app could lean on it: preloads are alone, pages are sandboxed.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { BrowserContext, Page, Route } from 'playwright-core';
import { BINDING, type FromPage, pageScript, type ToPage } from './page-side.ts';
import { decode, encode } from './wire.ts';

/** Chromium cannot be taught a scheme from outside: pages see one origin of this host for each host of the scheme. */
const HOST_SUFFIX = '.standin.test';

interface Question {
  message: string;
  cancelId: number;
}
interface Privileged {
  scheme: string;
}
type Handler = (request: Request) => Response | Promise<Response>;

/** What a test knows and does that the app does not: the browser behind the windows, a person's answers. */
export const standIn = {
  /** Set before the app's main module is loaded. */
  context: null as BrowserContext | null,
  /** Answers message boxes: the index of the button. */
  answer: (options: Question): number => {
    throw new Error(`Nobody is there to answer: ${options.message}`);
  },
  /** What the app has put into its menu and its tray, and told by notices. */
  menu: [] as MenuEntry[],
  tray: [] as MenuEntry[],
  notices: [] as { title: string; body: string }[],
  /** Resolves with the exit status when the app ends. */
  ended: Promise.withResolvers<number>(),
  /** Pages of the windows, the oldest first. */
  pages: async (): Promise<Page[]> => Promise.all([...windows].map((window) => window.page)),
};

const schemes = new Map<string, Handler | null>();
const windows = new Set<BrowserWindow>();
let preloadPath: string | undefined;
let prepared: Promise<void> | undefined;

function toPage(address: string): string {
  const url = new URL(address);
  const scheme = url.protocol.slice(0, -1);
  assert.ok(schemes.has(scheme), `windows of this app load its own scheme, not ${address}`);
  return `https://${url.host}.${scheme}${HOST_SUFFIX}${url.pathname}${url.search}${url.hash}`;
}

function fromPage(address: string): string {
  const url = new URL(address);
  if (!url.host.endsWith(HOST_SUFFIX)) return address;
  const parts = url.host.slice(0, -HOST_SUFFIX.length).split('.');
  return `${parts.at(-1)}://${parts.slice(0, -1).join('.')}${url.pathname}${url.search}${url.hash}`;
}

async function answerScheme(route: Route): Promise<void> {
  const address = fromPage(route.request().url());
  const handler = schemes.get(new URL(address).protocol.slice(0, -1));
  if (!handler) return route.abort();
  const response = await handler(new Request(address, { method: route.request().method() }));
  await route.fulfill({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: Buffer.from(await response.arrayBuffer()),
  });
}

/** Puts the scheme, the binding and the preload into the browser, once. */
function prepare(preload: string): Promise<void> {
  assert.ok(preloadPath === undefined || preloadPath === preload, 'every window has the same preload');
  preloadPath = preload;
  const context = standIn.context;
  assert.ok(context, 'the test has opened a browser');
  prepared ??= (async () => {
    await context.route((url) => url.host.endsWith(HOST_SUFFIX), answerScheme);
    await context.exposeBinding(BINDING, ({ page }, message: FromPage) => contentsOf(page).receive(message));
    await context.addInitScript({ content: pageScript(readFileSync(preload, 'utf8')) });
    context.on('page', (page) => void adopt(page));
  })();
  return prepared;
}

/** A page that another page opened: asks the opener's handler, as Electron does. */
async function adopt(page: Page): Promise<void> {
  const opener = await page.opener();
  if (!opener) return;
  const answer = contentsOf(opener).openHandler({ url: fromPage(page.url()), frameName: '' });
  if (answer.action === 'deny') await page.close();
  else new BrowserWindow(answer.overrideBrowserWindowOptions ?? {}, page);
}

const contentsByPage = new Map<Page, WebContents>();

function contentsOf(page: Page): WebContents {
  let contents = contentsByPage.get(page);
  // A page speaks as soon as its document is there, which may be before its window is known.
  if (!contents) contentsByPage.set(page, (contents = new WebContents()));
  return contents;
}

interface OpenAnswer {
  action: 'allow' | 'deny';
  overrideBrowserWindowOptions?: WindowOptions;
}

class MessagePortMain extends EventEmitter {
  readonly #send: (message: ToPage) => void;
  readonly #id: number;
  #waiting: unknown[] | null = [];

  constructor(id: number, send: (message: ToPage) => void) {
    super();
    this.#id = id;
    this.#send = send;
  }

  start(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const data of waiting) this.emit('message', { data, ports: [] });
  }

  postMessage(data: unknown): void {
    this.#send({ type: 'port', port: this.#id, data: encode(data) });
  }

  close(): void {
    this.#send({ type: 'portClosed', port: this.#id });
  }

  /** A message from the page. */
  deliver(data: unknown): void {
    if (this.#waiting) this.#waiting.push(data);
    else this.emit('message', { data, ports: [] });
  }
}

class WebContents extends EventEmitter {
  page: Page | undefined;
  openHandler: (details: { url: string; frameName: string }) => OpenAnswer = () => ({ action: 'allow' });
  readonly #ports = new Map<number, MessagePortMain>();
  #document = '';
  #queue: ToPage[] = [];
  #pull: ((messages: unknown) => void) | undefined;

  getURL(): string {
    return this.page ? fromPage(this.page.url()) : '';
  }

  setWindowOpenHandler(handler: WebContents['openHandler']): void {
    this.openHandler = handler;
  }

  isDestroyed(): boolean {
    return this.page?.isClosed() ?? false;
  }

  receive(message: FromPage): unknown {
    if (message.type === 'document') {
      this.endDocument();
      this.#document = message.document;
    }
    if (message.document !== this.#document) return undefined;
    switch (message.type) {
      case 'pull':
        return new Promise((resolve) => {
          this.#pull = resolve;
          this.#flush();
        });
      case 'post': {
        const ports = message.ports.map((id) => {
          const port = new MessagePortMain(id, (out) => this.#send(out));
          this.#ports.set(id, port);
          return port;
        });
        const url = this.getURL();
        ipcMain.emit(message.channel, { sender: this, senderFrame: { url }, ports }, decode(message.message));
        return undefined;
      }
      case 'port':
        this.#ports.get(message.port)?.deliver(decode(message.data));
        return undefined;
      case 'portClosed':
        this.#ports.get(message.port)?.emit('close');
        this.#ports.delete(message.port);
        return undefined;
    }
  }

  /** The document is gone, and with it the other ends of its ports. */
  endDocument(): void {
    for (const port of this.#ports.values()) port.emit('close');
    this.#ports.clear();
    this.#queue = [];
    this.#pull = undefined;
  }

  #send(message: ToPage): void {
    if (!this.#ports.has(message.port)) return;
    if (message.type === 'portClosed') this.#ports.delete(message.port);
    this.#queue.push(message);
    this.#flush();
  }

  #flush(): void {
    if (!this.#pull || this.#queue.length === 0) return;
    this.#pull(this.#queue.splice(0));
    this.#pull = undefined;
  }
}

interface WindowOptions {
  title?: string;
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  webPreferences?: { preload?: string; sandbox?: boolean; contextIsolation?: boolean; nodeIntegration?: boolean };
}

export class BrowserWindow extends EventEmitter {
  static getAllWindows(): BrowserWindow[] {
    return [...windows];
  }

  static fromWebContents(contents: WebContents): BrowserWindow | null {
    return [...windows].find((window) => window.webContents === contents) ?? null;
  }

  static getFocusedWindow(): BrowserWindow | null {
    return [...windows].at(-1) ?? null;
  }

  readonly page: Promise<Page>;
  readonly webContents: WebContents;
  readonly #options: WindowOptions;
  #isMaximized = false;

  constructor(options: WindowOptions = {}, opened?: Page) {
    super();
    this.#options = options;
    const { preload, sandbox, contextIsolation, nodeIntegration } = options.webPreferences ?? {};
    assert.ok(preload, 'a window has a preload');
    assert.deepEqual(
      { sandbox, contextIsolation, nodeIntegration: nodeIntegration ?? false },
      {
        sandbox: true,
        contextIsolation: true,
        nodeIntegration: false,
      },
    );
    windows.add(this);
    this.webContents = opened ? contentsOf(opened) : new WebContents();
    this.page = this.#open(preload, opened);
    app.emit('web-contents-created', {}, this.webContents);
    app.emit('browser-window-created', {}, this);
  }

  async #open(preload: string, opened?: Page): Promise<Page> {
    await prepare(preload);
    const page = opened ?? (await standIn.context!.newPage());
    this.webContents.page = page;
    contentsByPage.set(page, this.webContents);
    page.on('close', () => {
      this.webContents.endDocument();
      windows.delete(this);
      this.emit('closed');
      if (windows.size === 0) app.emit('window-all-closed');
    });
    return page;
  }

  async loadURL(address: string): Promise<void> {
    await (await this.page).goto(toPage(address));
  }

  focus(): void {
    void this.page.then((page) => page.bringToFront());
  }

  isMinimized(): boolean {
    return false;
  }

  restore(): void {}

  maximize(): void {
    this.#isMaximized = true;
  }

  isMaximized(): boolean {
    return this.#isMaximized;
  }

  getNormalBounds(): { x: number; y: number; width: number; height: number } {
    const { x = 0, y = 0, width = 800, height = 600 } = this.#options;
    return { x, y, width, height };
  }

  close(): void {
    this.emit('close');
    void this.page.then((page) => page.close());
  }
}

class App extends EventEmitter {
  readonly isPackaged = false;

  setName(): void {}

  getLocale(): string {
    return 'en-US';
  }

  getVersion(): string {
    return '0.0.0';
  }

  requestSingleInstanceLock(): boolean {
    return true;
  }

  async whenReady(): Promise<void> {}

  /** As Electron: `before-quit` may prevent it, then every window closes, then the process ends. */
  quit(): void {
    let prevented = false;
    this.emit('before-quit', { preventDefault: () => (prevented = true) });
    if (!prevented) this.exit(0);
  }

  exit(status = 0): void {
    for (const window of windows) window.close();
    standIn.ended.resolve(status);
  }
}

export const app = new App();
export const ipcMain = new EventEmitter();

export const protocol = {
  registerSchemesAsPrivileged(list: Privileged[]): void {
    for (const { scheme } of list) schemes.set(scheme, null);
  },
  handle(scheme: string, handler: Handler): void {
    assert.ok(schemes.has(scheme), 'a scheme with an origin is registered before the app is ready');
    schemes.set(scheme, handler);
  },
};

export const dialog = {
  async showMessageBox(...values: unknown[]): Promise<{ response: number }> {
    return { response: standIn.answer(values.at(-1) as Question) };
  },
  showErrorBox(title: string, text: string): void {
    throw new Error(`${title}: ${text}`);
  },
};

interface MenuEntry {
  label?: string;
  role?: string;
  submenu?: MenuEntry[];
  click?: () => void;
}

export const Menu = {
  buildFromTemplate: (template: MenuEntry[]) => template,
  setApplicationMenu(menu: MenuEntry[]): void {
    standIn.menu = menu;
  },
};

export class Notification extends EventEmitter {
  static isSupported(): boolean {
    return true;
  }
  readonly #notice: { title: string; body: string };
  constructor(notice: { title: string; body: string }) {
    super();
    this.#notice = notice;
  }
  show(): void {
    standIn.notices.push(this.#notice);
  }
}

export class Tray extends EventEmitter {
  constructor(icon: string) {
    super();
    assert.ok(existsSync(icon), `the tray's icon ${icon} is there`);
  }
  setToolTip(): void {}
  setContextMenu(menu: MenuEntry[]): void {
    standIn.tray = menu;
  }
}

export const screen = {
  getAllDisplays: () => [{ workArea: { x: 0, y: 0, width: 1920, height: 1080 } }],
};

export const nativeTheme = { shouldUseDarkColors: false };

export const session = {
  defaultSession: { setPermissionRequestHandler(): void {}, setPermissionCheckHandler(): void {} },
};
