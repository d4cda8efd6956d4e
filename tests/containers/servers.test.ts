// Servers of Debian and their clients in one container, over its loopback: unmodified, as they are installed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { debianRoot, noDebianRoot } from '../guests/systems/debian-root.ts';
import { osRun } from './os-run.ts';

const skip = process.arch === 'x64' ? noDebianRoot : 'programs of amd64 need a host of x86-64 here';
const root = mkdtempSync(join(tmpdir(), 'trivisor-servers-'));
after(() => rmSync(root, { recursive: true, force: true }));

before(async () => {
  if (skip === false) execFileSync('tar', ['-xzf', await debianRoot(), '-C', root]);
});

const environment = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'TERM=dumb'];

async function shell(script: string): Promise<string> {
  const { output, status } = await osRun(root, ['/bin/bash', '-c', script], { environment, patience: 120_000 });
  assert.equal(status, 0, output);
  return output;
}

test('ip shows the loopback, and ping reaches it', { skip }, async () => {
  const output = await shell('ip -o addr; ping -q -c 2 -i 0.2 127.0.0.1 | grep transmitted');
  assert.match(output, /1: lo\s+inet 127\.0\.0\.1\/8 scope host lo/);
  assert.match(output, /1: lo\s+inet6 ::1\/128 scope host/);
  assert.match(output, /2 packets transmitted, 2 received, 0% packet loss/);
});

const ECHO = `
import asyncio, socket
async def handle(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def client(port):
    reader, writer = await asyncio.open_connection('localhost', port)
    total = 0
    for _ in range(5):
        writer.write(b'x' * 10000)
        await writer.drain()
        total += len(await reader.readexactly(10000))
    writer.close()
    await writer.wait_closed()
    return total
async def main():
    server = await asyncio.start_server(handle, ['127.0.0.1', '::1'], 7000)
    print(sum(await asyncio.gather(*[client(7000) for _ in range(10)])))
    server.close()
asyncio.run(main())
`;

test('asyncio echoes over ten connections at once', { skip }, async () => {
  assert.equal(await shell(`python3 -c "${ECHO}"`), '500000\n');
});

const NGINX = `
mkdir -p /tmp/www /tmp/logs /var/log/nginx
echo hello from nginx > /tmp/www/index.html
head -c 3000000 /dev/urandom > /tmp/www/big
cat > /tmp/nginx.conf <<'C'
worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/logs/error.log;
events { worker_connections 64; }
http { access_log off; sendfile on; server { listen 127.0.0.1:8080; listen [::1]:8080; root /tmp/www; } }
C
nginx -c /tmp/nginx.conf
curl -s http://127.0.0.1:8080/; curl -s -g http://[::1]:8080/
test "$(curl -s http://127.0.0.1:8080/big | sha256sum)" = "$(sha256sum < /tmp/www/big)" && echo same
curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8080/none
curl -s http://127.0.0.1:81/; echo refused $?
nginx -c /tmp/nginx.conf -s quit 2> /dev/null
`;

test('nginx serves curl', { skip }, async () => {
  assert.equal(await shell(NGINX), 'hello from nginx\nhello from nginx\nsame\n404\nrefused 7\n');
});

const REDIS = `
redis-server --port 6379 --unixsocket /tmp/redis.sock --save "" --logfile /tmp/redis.log &
for i in $(seq 300); do redis-cli ping > /dev/null 2>&1 && break; sleep 0.1; done
redis-benchmark -n 1000 -c 20 -t set,get,lpush -q --csv | cut -d, -f1
redis-cli -s /tmp/redis.sock set key value
redis-cli get key
redis-cli shutdown nosave
wait
`;

test('redis answers its benchmark, and a client at its file', { skip }, async () => {
  assert.equal(await shell(REDIS), '"test"\n"SET"\n"GET"\n"LPUSH"\nOK\n"value"\n');
});
