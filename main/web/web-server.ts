// The app in a browser: the renderer's files over HTTP, and the contract over a WebSocket, on the loopback alone.
// Owns the one-time token, the session cookie and the checks of Host and Origin.
// Never listens beyond 127.0.0.1, and never serves a file outside the renderer's folder.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, resolve, sep } from 'node:path';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { decodeMessage, encodeMessage } from '../contract.ts';
import type { Connection, Peer } from '../server.ts';
import { contentType, protections } from './page-headers.ts';

/** Larger than the largest frame of the contract, in base64. */
const MESSAGE_MAX = 4 * 2 ** 20;

export interface WebServerOptions {
  /** The built renderer. */
  folder: string;
  /** 0 takes any free port. */
  port: number;
  connect(peer: Peer): Connection;
}

export interface WebServer {
  port: number;
  /** Opens the app in the first browser that asks for it, and in no other. */
  url: string;
  close(): Promise<void>;
}

/** Starts to serve. Throws an Error with one sentence if the port is taken or the renderer is not built. */
export async function serveWeb(options: WebServerOptions): Promise<WebServer> {
  const folder = resolve(options.folder);
  if (!existsSync(join(folder, 'index.html')))
    throw new Error(`The app's pages are not in ${folder}; build them with: npm run build`);
  const access = new Access();
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_MAX });
  const server = createServer((request, response) => {
    try {
      respond(request, response, access, folder);
    } catch (error) {
      const { status, message } = error instanceof Refusal ? error : new Refusal(500, (error as Error).message);
      response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...protections }).end(`${message}\n`);
    }
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const isAllowed =
      access.isOurHost(request) &&
      access.isOurPage(request) &&
      access.hasSession(request) &&
      new URL(request.url ?? '/', 'http://localhost').pathname === '/socket';
    if (!isAllowed) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => serveWebSocket(webSocket, options.connect));
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) => failed(explainListen(error, options.port)));
    server.listen(options.port, '127.0.0.1', listening);
  });
  const { port } = server.address() as AddressInfo;
  access.port = port;
  return {
    port,
    url: `http://127.0.0.1:${port}/?token=${access.token}`,
    async close() {
      for (const webSocket of sockets.clients) webSocket.close(1001, 'Trivisor has ended.');
      server.closeAllConnections();
      await new Promise<void>((closed) => server.close(() => closed()));
    },
  };
}

/** Who may come in. */
class Access {
  readonly token = randomBytes(32).toString('base64url');
  readonly #session = randomBytes(32).toString('base64url');
  #isTokenUsed = false;
  port = 0;

  /** Cookies are shared by all ports of a host: the name keeps two servers apart. */
  get #cookie(): string {
    return `trivisor-${this.port}`;
  }

  /** A page of another name that resolves to the loopback (DNS rebinding) gives its own name as the host. */
  isOurHost(request: IncomingMessage): boolean {
    return request.headers.host === `127.0.0.1:${this.port}` || request.headers.host === `localhost:${this.port}`;
  }

  /** Only a page of this very server may open the socket; cookies alone do not tell whose page asks. */
  isOurPage(request: IncomingMessage): boolean {
    return request.headers.origin === `http://${request.headers.host}`;
  }

  hasSession(request: IncomingMessage): boolean {
    const cookies = (request.headers.cookie ?? '').split(';').map((cookie) => cookie.trim());
    const ours = cookies.find((cookie) => cookie.startsWith(`${this.#cookie}=`));
    return ours !== undefined && isSame(ours.slice(this.#cookie.length + 1), this.#session);
  }

  /** The cookie's header if this is the token's first use; null otherwise. */
  exchange(token: string): string | null {
    if (this.#isTokenUsed || !isSame(token, this.token)) return null;
    this.#isTokenUsed = true;
    return `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Strict; Path=/`;
  }
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** An answer other than the page, with its sentence. */
class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function respond(request: IncomingMessage, response: ServerResponse, access: Access, folder: string): void {
  if (!access.isOurHost(request)) throw new Refusal(403, 'This server answers to its loopback address only.');
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new Refusal(405, 'Only GET and HEAD are served here.');
  const url = new URL(request.url ?? '/', 'http://localhost');
  const token = url.searchParams.get('token');
  if (token !== null) {
    const cookie = access.exchange(token);
    if (!cookie && !access.hasSession(request))
      throw new Refusal(403, 'This link has been used already. Start trivisor serve again for a new one.');
    // Away from the token: it must not stay in the address bar or go out as a referrer.
    if (cookie) response.setHeader('Set-Cookie', cookie);
    response.writeHead(303, { Location: '/', 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' }).end();
    return;
  }
  if (!access.hasSession(request))
    throw new Refusal(403, 'Open the link that trivisor serve printed: it holds the key to this page.');
  const path = filePath(folder, url.pathname);
  const { size } = statSync(path);
  const headers = {
    'Content-Type': contentType(extname(path)),
    'Content-Length': size,
    'Cache-Control': 'no-cache',
    ...protections,
  };
  response.writeHead(200, headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  createReadStream(path)
    .on('error', () => response.destroy())
    .pipe(response);
}

/** The file of an address; throws a {@link Refusal} for whatever is not a file inside the folder. */
function filePath(folder: string, pathname: string): string {
  let name: string;
  try {
    name = decodeURIComponent(pathname === '/' ? '/index.html' : pathname);
  } catch {
    throw new Refusal(400, 'The address is not valid.');
  }
  const path = resolve(folder, `.${name}`);
  if (!path.startsWith(folder + sep) || name.includes('\0') || !existsSync(path) || !statSync(path).isFile())
    throw new Refusal(404, 'There is no such page.');
  return path;
}

function serveWebSocket(webSocket: WebSocket, connect: (peer: Peer) => Connection): void {
  const connection = connect({
    send: (frame) => {
      if (webSocket.readyState === webSocket.OPEN) webSocket.send(encodeMessage(frame));
    },
    close: () => webSocket.close(1008, 'Trivisor ended the connection.'),
    backlog: () => webSocket.bufferedAmount,
  });
  webSocket.on('message', (data, isBinary) => {
    let frame: unknown;
    try {
      frame = decodeMessage(isBinary ? bytesOf(data) : data.toString());
    } catch {
      // Not JSON: the server cuts off whoever sends what is no frame.
      frame = undefined;
    }
    connection.receive(frame);
  });
  // Errors are followed by `close`.
  webSocket.on('error', () => {});
  webSocket.on('close', () => connection.close());
}

/** A binary message as one piece of memory of its own: what comes in lies in buffers that are used again. */
function bytesOf(data: RawData): Uint8Array {
  return new Uint8Array(Array.isArray(data) ? Buffer.concat(data) : data);
}

function explainListen(error: NodeJS.ErrnoException, port: number): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another program uses it',
    EACCES: 'permission is denied',
  };
  const reason = (error.code && reasons[error.code]) ?? error.message;
  return new Error(`Port ${port} cannot be served: ${reason}.`, { cause: error });
}
