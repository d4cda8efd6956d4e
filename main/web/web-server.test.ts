import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import { createClient, decodeFrame, encodeFrame } from '../contract.ts';
import { Server } from '../server.ts';
import { serveWeb } from './web-server.ts';

const root = mkdtempSync(join(tmpdir(), 'trivisor-web-'));
const folder = join(root, 'renderer');
mkdirSync(folder);
writeFileSync(join(folder, 'index.html'), '<!doctype html><title>app</title>');
writeFileSync(join(root, 'secret'), 'not yours');
const server = new Server({ home: join(root, 'home'), isOwner: true });
const web = await serveWeb({ folder, port: 0, connect: (peer) => server.connect(peer) });
after(async () => {
  await web.close();
  await server.close();
  rmSync(root, { recursive: true });
});

/** A bare request, so that paths and headers arrive as they are written. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET') {
  return new Promise<{ status: number; body: string; headers: Record<string, unknown> }>((resolve, reject) => {
    request({ host: '127.0.0.1', port: web.port, path, method, headers }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode!, body, headers: response.headers }));
    })
      .on('error', reject)
      .end();
  });
}

/** The status with which a socket was refused, or the open socket. */
function openSocket(headers: Record<string, string>, path = '/socket'): Promise<WebSocket | number> {
  const socket = new WebSocket(`ws://127.0.0.1:${web.port}${path}`, { headers });
  return new Promise((resolve) => {
    socket.on('open', () => resolve(socket));
    socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
    socket.on('error', () => {});
  });
}

test('the token works once, and gives a session to this browser alone', async () => {
  assert.equal((await get('/')).status, 403);
  assert.equal((await get('/?token=guess')).status, 403);
  const path = new URL(web.url).pathname + new URL(web.url).search;
  const first = await get(path);
  assert.equal(first.status, 303);
  const [setCookie] = first.headers['set-cookie'] as string[];
  assert.match(setCookie!, /; HttpOnly; SameSite=Strict; Path=\/$/);
  const second = await get(path);
  assert.equal(second.status, 403);
  assert.match(second.body, /has been used already/);

  const cookie = setCookie!.split(';')[0]!;
  const page = await get('/', { cookie });
  assert.equal(page.status, 200);
  assert.match(page.body, /<title>app/);
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'/);
  assert.equal((await get('/', { cookie: `${cookie}x` })).status, 403);
  assert.equal((await get('/', { cookie, host: 'evil.example' })).status, 403);
  assert.equal((await get('/', { cookie }, 'POST')).status, 405);
  for (const way of ['/../secret', '/%2e%2e/secret', '/..%2fsecret', '/none', '/%ff', '/%00', '//../secret'])
    assert.notEqual((await get(way, { cookie })).status, 200, way);

  const origin = `http://127.0.0.1:${web.port}`;
  assert.equal(await openSocket({ origin }), 403);
  assert.equal(await openSocket({ cookie }), 403);
  assert.equal(await openSocket({ cookie, origin: 'http://evil.example' }), 403);
  assert.equal(await openSocket({ cookie, origin }, '/other'), 403);
  const socket = await openSocket({ cookie, origin });
  assert.ok(socket instanceof WebSocket);
  const client = createClient({
    send: (frame) => socket.send(encodeFrame(frame)),
    onFrame: (receive) => socket.on('message', (data) => receive(decodeFrame(data.toString()))),
    onClose: (closed) => socket.on('close', () => closed('closed')),
    close: () => socket.close(),
  });
  assert.equal((await client.call('host.info')).pid, process.pid);
  const closed = new Promise((resolve) => client.onClose(resolve));
  socket.send('not a frame');
  assert.equal(await closed, 'closed');
});

test('a busy port and a renderer that is not built are told in one sentence', async () => {
  const connect = () => assert.fail();
  await assert.rejects(
    serveWeb({ folder, port: web.port, connect }),
    new RegExp(`^Error: Port ${web.port} cannot be served: another program uses it\\.$`),
  );
  await assert.rejects(serveWeb({ folder: root, port: 0, connect }), /build them with: npm run build$/);
});
