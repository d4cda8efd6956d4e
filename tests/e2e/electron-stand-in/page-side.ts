// What a page of the stand-in runs before its own scripts: the preload, in a scope of its own.
// Owns the page's half of contextBridge, ipcRenderer and message ports.
// Never leaves anything on the window but what the preload exposed.

import { decode, encode } from './wire.ts';

/** Name of the binding; gone from the window before any script of the page runs. */
export const BINDING = '__electronStandIn';

/** What the page tells main. `pull` is answered with the next messages for this document. */
export type FromPage =
  | { type: 'document'; document: string }
  | { type: 'pull'; document: string }
  | { type: 'post'; document: string; channel: string; message: unknown; ports: number[] }
  | { type: 'port'; document: string; port: number; data: unknown }
  | { type: 'portClosed'; document: string; port: number };

export type ToPage = { type: 'port'; port: number; data: unknown } | { type: 'portClosed'; port: number };

type Port = InstanceType<typeof MessagePort>;

/** The script for a page: the functions below as text, then the preload's source. */
export function pageScript(preload: string): string {
  return `(() => {
  if (window.top !== window) return;
  ${encode.toString()}
  ${decode.toString()}
  const electron = (${pageElectron.toString()})(window, '${BINDING}', encode, decode);
  const require = (name) => {
    if (name === 'electron') return electron;
    throw new Error('A sandboxed preload cannot load ' + name + '.');
  };
  ((require, module, exports, window) => {
${preload}
  })(require, { exports: {} }, {}, undefined);
})();`;
}

/** Runs in the page. Everything it needs comes in as arguments. */
function pageElectron(
  page: Record<string, unknown>,
  binding: string,
  pack: (value: unknown) => unknown,
  unpack: (value: unknown) => unknown,
): unknown {
  const call = page[binding] as (message: unknown) => Promise<unknown>;
  delete page[binding];
  const document = `${Date.now()} ${Math.random()}`;
  const ports = new Map<number, Port>();
  let nextPort = 1;

  /** A value as the other world sees it: functions by proxy, everything else copied. */
  function cross(value: unknown): unknown {
    if (typeof value === 'function') {
      return (...values: unknown[]) => cross((value as (...values: unknown[]) => unknown)(...values.map(cross)));
    }
    if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
      return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, member]) => [key, cross(member)])));
    }
    return structuredClone(value);
  }

  async function pull(): Promise<void> {
    for (;;) {
      for (const message of unpack(await call({ type: 'pull', document })) as ToPage[]) {
        const port = ports.get(message.port);
        if (message.type === 'port') port?.postMessage(message.data);
        else {
          port?.close();
          ports.delete(message.port);
        }
      }
    }
  }
  void call({ type: 'document', document });
  void pull();

  return {
    contextBridge: {
      exposeInMainWorld(name: string, api: unknown) {
        Object.defineProperty(page, name, { value: cross(api), enumerable: true });
      },
    },
    ipcRenderer: {
      postMessage(channel: string, message: unknown, transfer: Port[] = []) {
        const ids = transfer.map((port) => {
          const id = nextPort++;
          ports.set(id, port);
          port.addEventListener('message', (event: Event) => {
            const { data } = event as Event & { data: unknown };
            void call({ type: 'port', document, port: id, data: pack(data) });
          });
          port.addEventListener('close', () => void call({ type: 'portClosed', document, port: id }));
          port.start();
          return id;
        });
        void call({ type: 'post', document, channel, message: pack(message), ports: ids });
      },
    },
  };
}
