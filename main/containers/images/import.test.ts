import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import { archiveOf, type Member } from '../../../native-free-core/containers/images/testing/archives.ts';
import { nameToText } from '../../../native-free-core/containers/vfs/names.ts';
import { OverlayFs } from '../../../native-free-core/containers/vfs/overlay.ts';
import { hostTree, oursTree, randomNumbers } from '../../../native-free-core/containers/vfs/testing/host-judge.ts';
import { type ImportedImage, importImage, nameOfSource } from './import-image.ts';
import { LayerStore } from './layer-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-import-'));
after(() => rmSync(folder, { recursive: true }));

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

let stores = 0;
const newStore = (): LayerStore => new LayerStore(join(folder, `store${stores++}`));
const take = (source: string, store = newStore(), ref: string | null = null): Promise<ImportedImage> =>
  importImage(store, { source, ref }, () => {});

/** The first bytes of a program: ELF for a processor, or another system's. */
function program(machine: number, bits = 64): string {
  const head = Buffer.alloc(64);
  head.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  head.writeUInt16LE(machine, 18);
  return head.toString('latin1');
}
const shell: Member = { name: 'bin/sh', content: program(62), mode: 0o755 };

/** Everything in an image, as its guest sees it. */
function treeOf(store: LayerStore, { layers }: ImportedImage): string[] {
  const opened = layers.map(({ diffId }, at) => store.open(diffId, at + 1));
  try {
    const lowers = opened.map(({ fs }) => fs.root).reverse();
    return oursTree(new OverlayFs({ device: 9, now: () => 0n, lowers }).root, new Map(), '')
      .map(nameToText)
      .sort();
  } finally {
    for (const { close } of opened) close();
  }
}

test('a root archive is one layer, the same however it is packed', async (t) => {
  const archive = archiveOf([
    { name: 'etc/', type: 'directory' },
    { name: 'etc/f', content: 'x'.repeat(200_000) },
    shell,
  ]);
  const packed: [string, Uint8Array][] = [
    ['tar', archive],
    ['tar.gz', gzipSync(archive)],
    ['tar.zst', zstdCompressSync(archive)],
  ];
  if (has('xz')) packed.push(['tar.xz', execFileSync('xz', ['-c'], { input: archive })]);
  else t.diagnostic('xz is not installed: .tar.xz was left out');
  const store = newStore();
  for (const [extension, bytes] of packed) {
    const file = join(folder, `root.${extension}`);
    writeFileSync(file, bytes);
    const image = await take(file, store);
    assert.deepEqual(image.layers, [{ diffId: digestOf(archive), size: archive.length }], extension);
    assert.deepEqual([image.config.cmd, image.name, nameOfSource(file)], [['/bin/sh'], null, 'root']);
  }
  assert.equal(readdirSync(store.folder).length, 2, 'one layer, with its index');
  assert.equal(digestOf(readFileSync(store.archive(digestOf(archive) as `sha256:${string}`))), digestOf(archive));
});

test('a root folder becomes the layer that it is', async () => {
  const root = join(folder, 'root-folder');
  mkdirSync(join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'bin/sh'), program(62), { encoding: 'latin1', mode: 0o755 });
  linkSync(join(root, 'bin/sh'), join(root, 'bin/hard'));
  symlinkSync('/etc/passwd', join(root, 'away'));
  symlinkSync('.', join(root, 'loop'));
  writeFileSync(join(root, 'ümlaut'), 'text');
  const store = newStore();
  const image = await take(root, store);
  assert.deepEqual(treeOf(store, image), hostTree(root, new Map(), '').sort());
  assert.deepEqual((await take(root, store)).layers, image.layers, 'the same folder gives the same layer');
});

// ---- OCI layouts made here, so that anything can be wrong with them

interface Parts {
  os?: string;
  architecture?: string;
  layers?: Uint8Array[];
  diffIds?: string[];
  edit?: (blobs: Map<string, Uint8Array>, documents: { index: unknown; manifest: unknown }) => void;
  index?: (descriptor: object) => object;
}

function layout(
  name: string,
  { os = 'linux', architecture = 'amd64', layers = [archiveOf([shell])], diffIds, edit, index }: Parts = {},
): string {
  const path = join(folder, name);
  const blobs = new Map<string, Uint8Array>();
  const put = (bytes: Uint8Array, mediaType: string): object => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const packed = layers.map((layer) => put(gzipSync(layer), 'application/vnd.oci.image.layer.v1.tar+gzip'));
  const config = put(
    json({
      os,
      architecture,
      config: {
        Env: ['A=b'],
        Entrypoint: ['/bin/sh'],
        Cmd: ['-l'],
        User: '5:6',
        WorkingDir: '/w',
        StopSignal: 'SIGINT',
      },
      rootfs: { type: 'layers', diff_ids: diffIds ?? layers.map(digestOf) },
    }),
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = { schemaVersion: 2, config, layers: packed };
  const descriptor = put(json(manifest), 'application/vnd.oci.image.manifest.v1+json');
  const documents = { index: index?.(descriptor) ?? { schemaVersion: 2, manifests: [descriptor] }, manifest };
  edit?.(blobs, documents);
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true });
  for (const [digest, bytes] of blobs) writeFileSync(join(path, 'blobs', digest.replace(':', '/')), bytes);
  writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(path, 'index.json'), json(documents.index));
  return path;
}

test('an OCI layout gives layers and configuration, as a folder and as an archive', async () => {
  const lower = archiveOf([shell, { name: 'etc/gone', content: 'x' }, { name: 'etc/kept', content: 'y' }]);
  const upper = archiveOf([{ name: 'etc/.wh.gone' }, { name: 'etc/new', content: 'z' }]);
  const path = layout('layered', {
    layers: [lower, upper],
    index: (descriptor) => ({
      schemaVersion: 2,
      manifests: [
        {
          ...descriptor,
          platform: { os: 'linux', architecture: 'amd64' },
          annotations: { 'org.opencontainers.image.ref.name': 'v1' },
        },
        {
          mediaType: 'x',
          digest: digestOf(new Uint8Array(1)),
          size: 1,
          platform: { os: 'linux', architecture: 'arm64' },
        },
        {
          mediaType: 'x',
          digest: digestOf(new Uint8Array(2)),
          size: 1,
          platform: { os: 'unknown', architecture: 'unknown' },
        },
      ],
    }),
  });
  const store = newStore();
  const image = await take(path, store);
  assert.equal(image.name, 'v1');
  assert.deepEqual(image.config, {
    env: ['A=b'],
    entrypoint: ['/bin/sh'],
    cmd: ['-l'],
    user: '5:6',
    workingDir: '/w',
    stopSignal: 'SIGINT',
  });
  const names = treeOf(store, image).map((line) => line.split(' ')[0]);
  assert.deepEqual(names, ['', '/bin', '/bin/sh', '/etc', '/etc/kept', '/etc/new']);
  assert.equal((await take(path, store)).id, image.id);
  const archive = join(folder, 'layered.tar');
  execFileSync('tar', ['-cf', archive, '-C', path, '.']);
  assert.deepEqual(await take(archive, store), image);
  assert.deepEqual(
    readdirSync(store.folder).filter((file) => file.startsWith('incoming')),
    [],
  );
  assert.equal(readdirSync(store.folder).length, 4);
});

const other =
  /OS-level guests share one kernel, which is Linux for x86-64, so all of them must be linux\/amd64\. .*full guest/;

const refused: [string, () => string, RegExp][] = [
  ['for arm64', () => layout('arm64', { architecture: 'arm64' }), /^This image is for linux\/arm64\. OS-level/],
  ['for 32 bits', () => layout('386', { architecture: '386' }), /^This image is for linux\/386\./],
  ['for Windows', () => layout('windows', { os: 'windows' }), /^This image is for windows\/amd64\./],
  [
    'whose documents lie about its programs',
    () => layout('lying', { layers: [archiveOf([{ ...shell, content: program(183) }])] }),
    /^This image is for linux\/arm64\./,
  ],
  [
    'with a manifest that was changed',
    () =>
      layout('manifest', {
        edit: (blobs, { manifest }) => blobs.set(digestOf(Buffer.from(JSON.stringify(manifest))), Buffer.from('{}')),
      }),
    /its manifest has not the digest sha256/,
  ],
  [
    'with a layer that was changed',
    () =>
      layout('layer', {
        edit: (blobs) => blobs.set([...blobs.keys()][0], gzipSync(archiveOf([{ ...shell, name: 'bin/evil' }]))),
      }),
    /its layer has not the digest sha256/,
  ],
  [
    'with another layer than its configuration says',
    () => layout('diff', { diffIds: [digestOf(new Uint8Array(5))] }),
    /a layer unpacks to sha256/,
  ],
  ['with a layer too few', () => layout('few', { diffIds: [] }), /its manifest has 1 layers, its configuration 0/],
  [
    'with a blob missing',
    () => layout('missing', { edit: (blobs) => blobs.delete([...blobs.keys()][0]) }),
    /not whole: blobs\/sha256\/[0-9a-f]{64} is not there/,
  ],
  [
    'with a digest that climbs',
    () =>
      layout('climbs', {
        index: () => ({ schemaVersion: 2, manifests: [{ digest: 'sha256:../../../etc/passwd', size: 1 }] }),
      }),
    /index\.json is not valid: manifests\.0\.digest/,
  ],
  [
    'with an absolute name in a layer',
    () => layout('absolute', { layers: [archiveOf([shell, { name: '/etc/x' }])] }),
    /absolute name/,
  ],
  [
    'with indexes that have no end',
    () =>
      layout('endless', {
        edit: (blobs, documents) => {
          let inner: unknown = { schemaVersion: 2, manifests: [] };
          for (let depth = 0; depth < 6; depth++) {
            const bytes = Buffer.from(JSON.stringify(inner));
            blobs.set(digestOf(bytes), bytes);
            inner = {
              schemaVersion: 2,
              manifests: [
                { mediaType: 'application/vnd.oci.image.index.v1+json', digest: digestOf(bytes), size: bytes.length },
              ],
            };
          }
          documents.index = inner;
        },
      }),
    /indexes in each other/,
  ],
  ['which is not there', () => join(folder, 'nowhere'), /^There is no /],
];

function root(name: string, bytes: Uint8Array): () => string {
  return () => {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    return file;
  };
}
const sound = archiveOf([shell]);
refused.push(
  [
    'of an arm64 root',
    root('arm.tar', archiveOf([{ ...shell, content: program(183) }])),
    /^This image is for linux\/arm64\./,
  ],
  [
    'of an i386 root',
    root('i386.tar', archiveOf([{ ...shell, content: program(3, 32) }])),
    /^This image is for linux\/i386/,
  ],
  [
    'of x32 programs',
    root('x32.tar', archiveOf([{ ...shell, content: program(62, 32) }])),
    /^This image is for linux\/x32\./,
  ],
  [
    'of a Windows program',
    root('win.tar', archiveOf([{ name: 'app/x.exe', content: 'MZ'.padEnd(64) }])),
    /^This image is for windows\./,
  ],
  ['packed with bzip2', root('root.tar.bz2', Buffer.from('BZh91AY&SY')), /packed with bzip2; it can be plain/],
  ['that is a zip', root('root.zip', Buffer.from('PK\x03\x04 and more')), /packed with zip/],
  ['that is cut short', root('cut.tar', sound.subarray(0, 700)), /cut short/],
  ['whose gzip is cut short', root('cut.tar.gz', gzipSync(sound).subarray(0, 60)), /damaged: unexpected end of file/],
  [
    'whose gzip is damaged',
    root(
      'bad.tar.gz',
      gzipSync(sound).map((byte, at) => (at === 40 ? byte ^ 0xff : byte)),
    ),
    /damaged/,
  ],
  [
    'whose zstd is damaged',
    root(
      'bad.tar.zst',
      zstdCompressSync(sound).map((byte, at) => (at > 20 ? byte ^ 0x55 : byte)),
    ),
    /damaged/,
  ],
  [
    'whose xz is damaged',
    root('bad.tar.xz', Buffer.from('fd377a585a000004e6d6b446', 'hex')),
    /cannot be unpacked, it is/,
  ],
  ['that is no archive', root('text', Buffer.from('hello '.repeat(500))), /no tar archive/],
  ['that is empty', root('empty', Buffer.alloc(0)), /empty/],
);

for (const [what, make, message] of refused) {
  test(`refused with a sentence, and nothing stays: an image ${what}`, async () => {
    const store = newStore();
    await assert.rejects(take(make(), store), (error: Error) => {
      assert.ok(error instanceof ImageError, error.stack);
      assert.match(error.message, message);
      if (/^This image is for/.test(error.message)) assert.match(error.message, other);
      return true;
    });
    store.collect(new Set());
    let left: string[] = [];
    try {
      left = readdirSync(store.folder);
    } catch {
      // Nothing was ever made.
    }
    assert.deepEqual(left, []);
  });
}

test('of several images one is chosen by its name', async () => {
  const several = layout('several', {
    index: (descriptor) => ({
      schemaVersion: 2,
      manifests: ['a:1', 'b:2'].map((name) => ({
        ...descriptor,
        annotations: { 'org.opencontainers.image.ref.name': name },
      })),
    }),
  });
  await assert.rejects(take(several), /There are 2 images in it: a:1, b:2; say which with --ref/);
  await assert.rejects(take(several, newStore(), 'c'), /There is no image c in it; it has 2: a:1, b:2/);
  assert.equal((await take(several, newStore(), '2')).name, 'b:2');
});

test('changed documents give a sentence, never anything else', async () => {
  const seed = Date.now() >>> 0;
  const next = randomNumbers(seed);
  const store = newStore();
  let refusals = 0;
  for (let round = 0; round < 150; round++) {
    const path = layout(`fuzz${round}`, {
      edit: (blobs, documents) => {
        const change = (bytes: Uint8Array): Buffer => {
          const text = Buffer.from(bytes);
          for (let count = 1 + next(3); count > 0; count--)
            text[next(text.length)] = next(4) ? 32 + next(95) : next(256);
          return text;
        };
        // Documents under their changed digests: the checks of digests are not what is tried here.
        const [layer, config] = [...blobs.keys()];
        const changed = change(blobs.get(config)!);
        const manifest = change(Buffer.from(JSON.stringify(documents.manifest).replace(config, digestOf(changed))));
        blobs.set(digestOf(changed), changed);
        blobs.set(digestOf(manifest), manifest);
        blobs.set(layer, next(3) ? blobs.get(layer)! : change(blobs.get(layer)!));
        documents.index = { schemaVersion: 2, manifests: [{ digest: digestOf(manifest), size: manifest.length }] };
      },
    });
    try {
      await take(path, store);
    } catch (error) {
      assert.ok(error instanceof ImageError, `seed ${seed}, round ${round}: ${(error as Error).stack}`);
      refusals++;
    }
    rmSync(path, { recursive: true });
  }
  assert.ok(refusals > 50, `${refusals} of 150 were refused (seed ${seed})`);
});

test('what umoci makes and skopeo converts is what umoci unpacks', async (t) => {
  if (!has('umoci') || !has('skopeo')) return t.skip('umoci and skopeo are not installed');
  if (process.getuid?.() !== 0) return t.skip('umoci keeps owners only as root');
  const umoci = (...args: string[]): void => void execFileSync('umoci', args, { stdio: 'pipe' });
  const path = join(folder, 'umoci');
  const bundle = join(folder, 'bundle');
  umoci('init', '--layout', path);
  umoci('new', '--image', `${path}:1`);
  umoci('unpack', '--image', `${path}:1`, bundle);
  const rootfs = join(bundle, 'rootfs');
  mkdirSync(join(rootfs, 'd/e'), { recursive: true });
  mkdirSync(join(rootfs, 'bin'));
  copyFileSync('/bin/sh', join(rootfs, 'bin/sh'));
  for (const name of ['d/a', 'd/b', 'd/e/f']) writeFileSync(join(rootfs, name), name);
  linkSync(join(rootfs, 'd/a'), join(rootfs, 'd/hard'));
  symlinkSync('/d/a', join(rootfs, 'link'));
  umoci('repack', '--image', `${path}:2`, bundle);
  rmSync(bundle, { recursive: true });
  umoci('unpack', '--image', `${path}:2`, bundle);
  rmSync(join(rootfs, 'd/e'), { recursive: true });
  rmSync(join(rootfs, 'd/b'));
  writeFileSync(join(rootfs, 'd/e'), 'a file where a directory was');
  writeFileSync(join(rootfs, 'd/a'), 'changed, under both names');
  umoci(
    'config',
    '--image',
    `${path}:2`,
    '--config.entrypoint',
    '/bin/sh',
    '--config.env',
    'K=V',
    '--config.user',
    'u',
    '--tag',
    '2',
  );
  umoci('repack', '--image', `${path}:3`, bundle);
  rmSync(bundle, { recursive: true });
  umoci('unpack', '--image', `${path}:3`, bundle);
  const store = newStore();
  const image = await take(path, store, '3');
  assert.ok(image.layers.length >= 2);
  assert.deepEqual(treeOf(store, image), hostTree(rootfs, new Map(), '').sort());
  const count = readdirSync(store.folder).length;
  for (const [kind, name] of [
    ['docker-archive', 'archive.docker'],
    ['oci-archive', 'archive.oci'],
  ]) {
    const file = join(folder, name);
    const tag = kind === 'docker-archive' ? 'example.org/name:3' : '3';
    execFileSync('skopeo', ['copy', '--insecure-policy', `oci:${path}:3`, `${kind}:${file}:${tag}`], { stdio: 'pipe' });
    const converted = await take(file, store);
    assert.deepEqual(converted.layers, image.layers, kind);
    assert.equal(converted.name, tag);
  }
  assert.equal(readdirSync(store.folder).length, count, 'shared layers are stored once');
});
