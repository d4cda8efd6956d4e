// Debian packages for guests, of any architecture, brought by the host's own apt without root.
// Owns a private package index, the downloaded archives and what was unpacked from them, all in the cache folder.
// Never installs anything on the host and never touches the host's own apt state.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, withLock } from '../files/folders.ts';

export type DebianArchitecture = 'amd64' | 'i386';

/** An index older than this (milliseconds) is brought up to date before it is used. */
const INDEX_LIFETIME = 24 * 3600_000;

export interface DebianPackagesOptions {
  architecture: DebianArchitecture;
  /** Folder to keep everything in; the cache folder's `debian` by default. */
  folder?: string;
  /** Told what is being done, in a short sentence, and how far the download is (0 to 1). */
  progress?: (step: 'index' | 'download' | 'extract', message: string, fraction: number) => void;
  signal?: AbortSignal;
}

/** Why packages cannot be brought on this host, in one sentence; null if they can. */
export function debianUnavailable(): string | null {
  if (process.platform !== 'linux') return 'Bringing a Debian system needs apt, which this platform does not have.';
  const missing = ['apt-get', 'apt-cache', 'dpkg-deb', 'tar'].filter((tool) => !isOnPath(tool));
  return missing.length === 0 ? null : `Bringing a Debian system needs ${missing.join(', ')}, missing on this host.`;
}

function isOnPath(tool: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, tool)));
}

/** Packages of one architecture. Several processes may share a cache folder. */
export class DebianPackages {
  readonly architecture: DebianArchitecture;
  readonly #folder: string;
  readonly #progress: NonNullable<DebianPackagesOptions['progress']>;
  readonly #signal: AbortSignal | undefined;

  constructor(options: DebianPackagesOptions) {
    this.architecture = options.architecture;
    this.#folder = join(options.folder ?? join(cacheFolder(), 'debian'), options.architecture);
    this.#progress = options.progress ?? (() => {});
    this.#signal = options.signal;
    for (const part of ['lists/partial', 'cache/archives/partial', 'archives', 'unpacked'])
      mkdirSync(join(this.#folder, part), { recursive: true });
  }

  /** The package a meta-package stands for: its first dependency whose name begins with `prefix`; null if there is none. */
  async dependency(metaPackage: string, prefix: string): Promise<string | null> {
    await this.#freshIndex();
    const { output } = await this.#apt('apt-cache', ['depends', '--important', metaPackage]);
    const names = output.matchAll(/^\s*\|?(?:Pre)?Depends: (\S+)$/gm);
    for (const [, name] of names) if (name?.startsWith(prefix)) return name;
    return null;
  }

  /**
   * Downloads a package, if the cache does not have its newest version, and unpacks it. `only` restricts unpacking to
   * paths matching these patterns (`./boot/*`). Answers the folder of the unpacked tree, to be treated as read-only.
   * Throws an Error with one sentence if the package cannot be had.
   */
  async unpack(name: string, only: readonly string[] = []): Promise<string> {
    await this.#freshIndex();
    return withLock(join(this.#folder, 'archives.lock'), async () => {
      const archive = await this.#download(name);
      const selection = only.length === 0 ? '' : `.${selectionName(only)}`;
      const unpacked = join(this.#folder, 'unpacked', `${archive.replace(/\.deb$/, '')}${selection}`);
      if (existsSync(unpacked)) return unpacked;
      this.#progress('extract', `Unpacking ${name}`, 0);
      const partial = `${unpacked}.partial`;
      rmSync(partial, { recursive: true, force: true });
      mkdirSync(partial);
      await this.#unpackInto(join(this.#folder, 'archives', archive), partial, only);
      renameSync(partial, unpacked);
      return unpacked;
    });
  }

  /** Brings the index up to date if it is older than a day. A mirror that serves only in part is good enough. */
  async #freshIndex(): Promise<void> {
    const stamp = join(this.#folder, 'index.stamp');
    const isFresh = () => existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < INDEX_LIFETIME;
    if (isFresh()) return;
    await withLock(join(this.#folder, 'index.lock'), async () => {
      if (isFresh()) return;
      this.#progress('index', 'Reading the package index', 0);
      const { output, status } = await this.#apt('apt-get', ['update'], true);
      const lists = readdirSync(join(this.#folder, 'lists')).some((file) => file.includes('_Packages'));
      if (!lists)
        throw new Error(
          `The package index could not be read: ${lastComplaint(output) ?? `apt-get ended with ${status}`}`,
        );
      writeFileSync(stamp, '');
      // Without the network an older index still serves what was downloaded before; it is tried again in an hour.
      if (status !== 0) {
        const retry = (Date.now() - INDEX_LIFETIME + 3600_000) / 1000;
        utimesSync(stamp, retry, retry);
      }
    });
  }

  /** The file name, in `archives`, of the newest version of a package. */
  async #download(name: string): Promise<string> {
    const uris = await this.#apt('apt-get', ['download', '--print-uris', name], true);
    const line = /^'[^']+' (\S+\.deb) (\d+)/m.exec(uris.output);
    if (!line)
      throw new Error(`The package ${name} cannot be had: ${lastComplaint(uris.output) ?? 'no archive offers it'}`);
    const [, file, size] = line as unknown as [string, string, string];
    const archive = join(this.#folder, 'archives', file);
    if (existsSync(archive) && statSync(archive).size === Number(size)) return file;
    const megabytes = Math.max(1, Math.round(Number(size) / 1e6));
    const message = `Downloading ${name} (${megabytes} MB)`;
    this.#progress('download', message, 0);
    // apt writes into its working folder and checks the hash there; what arrives under the final name is whole.
    const partial = join(this.#folder, 'cache', 'archives', 'partial');
    const watch = setInterval(() => {
      const arrived = join(partial, file);
      if (existsSync(arrived)) this.#progress('download', message, Math.min(1, statSync(arrived).size / Number(size)));
    }, 250);
    try {
      const result = await this.#apt('apt-get', ['download', name], true, partial);
      if (result.status !== 0)
        throw new Error(
          `The package ${name} could not be downloaded: ${lastComplaint(result.output) ?? 'apt-get failed'}`,
        );
      renameSync(join(partial, file), archive);
    } finally {
      clearInterval(watch);
    }
    this.#progress('download', message, 1);
    return file;
  }

  async #unpackInto(archive: string, folder: string, only: readonly string[]): Promise<void> {
    if (only.length === 0) {
      const { output, status } = await this.#run('dpkg-deb', ['-x', archive, folder]);
      if (status !== 0) throw new Error(`${archive} could not be unpacked: ${output.trim()}`);
      return;
    }
    // One pipe through tar: a kernel package unpacks to hundreds of megabytes of which we want two files.
    const source = spawn('dpkg-deb', ['--fsys-tarfile', archive], { stdio: ['ignore', 'pipe', 'pipe'] });
    const tar = spawn('tar', ['-x', '--wildcards', '-C', folder, ...only], {
      stdio: [source.stdout, 'ignore', 'pipe'],
    });
    source.stdout.destroy(); // Ours; tar has its own.
    const [packed, unpacked] = await Promise.all([ended(source), ended(tar)]);
    if (packed.status !== 0 || unpacked.status !== 0)
      throw new Error(`${archive} could not be unpacked: ${(unpacked.output || packed.output).trim()}`);
  }

  async #apt(
    tool: string,
    args: string[],
    complete = false,
    cwd?: string,
  ): Promise<{ output: string; status: number }> {
    const state = join(this.#folder, 'lists');
    const settings = [
      `Dir::State::Lists=${state}`,
      `Dir::Cache=${join(this.#folder, 'cache')}`,
      `APT::Architecture=${this.architecture}`,
      `APT::Architectures=${this.architecture}`,
      'Acquire::Languages=none',
      // Without this apt, as root, drops to a user that may not write here, and says so on every call.
      ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
    ];
    const result = await this.#run(tool, [...settings.flatMap((setting) => ['-o', setting]), ...args], cwd);
    if (result.status !== 0 && !complete) return { output: '', status: result.status };
    return result;
  }

  #run(tool: string, args: string[], cwd?: string): Promise<{ output: string; status: number }> {
    const child = spawn(tool, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      ...(cwd ? { cwd } : {}),
      ...(this.#signal ? { signal: this.#signal } : {}),
    });
    return ended(child);
  }
}

/** Both outputs of a child process, once it has ended. Rejects if it cannot be started or was aborted. */
function ended(child: ReturnType<typeof spawn>): Promise<{ output: string; status: number }> {
  return new Promise((resolve, reject) => {
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.on('error', reject);
    child.on('close', (status) => resolve({ output, status: status ?? 1 }));
  });
}

/** apt's last error line without its prefix. */
function lastComplaint(output: string): string | undefined {
  return [...output.matchAll(/^E: (.+)$/gm)].at(-1)?.[1];
}

/** A short file-name-safe name for a set of patterns. */
function selectionName(patterns: readonly string[]): string {
  const name = patterns.join('+').replace(/[^A-Za-z0-9+]+/g, '_');
  // A file's name has 255 bytes at most, the package's own name included.
  return name.length <= 100 ? name : createHash('sha256').update(name).digest('hex').slice(0, 16);
}

/** Bytes of an xz file, by the host's xz: kernel modules of newer Debian releases are packed this way. */
export function unpackXz(file: string): Uint8Array {
  const { stdout, status, error } = spawnSync('xz', ['-dc', file], { maxBuffer: 1 << 28 });
  if (error || status !== 0) throw new Error(`${file} could not be unpacked: ${error?.message ?? 'xz failed'}`);
  return stdout;
}
