// The wizard that makes a guest: page by page, from a template, with a line that does the same; and settings while a guest runs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Command } from 'commander';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { addSettingOptions, commandIn, settingsOf } from '../../main/cli/settings.ts';
import { GuestSettings, type GuestSettingsInput, splitWords } from '../../main/contract.ts';
import { createLine } from '../../renderer/src/state/command-line.ts';
import { drivers } from './drivers.ts';
import { smallGuest } from './guest-files.ts';
import { until } from './waiting.ts';

const [browser] = drivers;
const options = { skip: browser!.unavailable ?? false, timeout: 180_000 };

before(async () => {
  await build();
});

/** Settings as the command line makes them of a line of the dialog. */
function parsed(line: string): GuestSettings {
  const words = splitWords(line)!;
  assert.deepEqual(words.slice(0, 2), ['trivisor', 'create']);
  const command = new Command().argument('<name>').argument('[command...]').exitOverride();
  addSettingOptions(command, ['name']);
  command.parse(words.slice(2), { from: 'user' });
  const [name, ...rest] = command.args;
  return settingsOf(command.opts(), { name: name!, ...commandIn(rest) });
}

test('every line makes the guest that it was made of', () => {
  const link = { up: false, delayMs: 20, kbitPerSecond: 512, lossPercent: 1.5 };
  const all: GuestSettingsInput[] = [
    { name: 'plain', kernel: '/k' },
    {
      name: 'A guest-2.x',
      group: 'Lab 1/a',
      memoryMiB: 512,
      cpus: 4,
      cpuWeight: 250,
      cpuCap: 50,
      disks: [
        { file: "/with, comma and 'quote'.img", format: 'raw', interface: 'ahci', readOnly: true },
        { file: '/b$x.qcow2', snapshot: true },
      ],
      cdrom: '/disc (1).iso',
      cdromInterface: 'ahci',
      bootOrder: 'dc',
      bios: '/rom',
      floppies: [null, { file: '/b.img', readOnly: true }],
      nets: [
        { network: 'internal:lab', model: 'ne2k_pci', mac: '02:00:00:00:00:01', vlan: 7, mtu: 1500, link },
        {
          network: 'nat',
          rom: '/a,b.rom',
          capture: '/c=d.pcapng',
          forwards: [
            { port: 8080, guestPort: 80 },
            { protocol: 'udp', address: '0.0.0.0', port: 53, guestPort: 53 },
          ],
        },
      ],
      virtio: ['rng', 'balloon'],
      balloonMiB: 64,
      memoryMinMiB: 128,
      shares: [{ folder: '/a, b', tag: 'work', readOnly: true }],
      serial2: '/s',
      printer: '/p',
      audio: '/a.wav',
      paravirt: 'hyperv',
      noReboot: true,
      disposable: true,
      autostart: 3,
      autostartDelay: 10,
      watchdog: 'poweroff',
    },
    {
      name: 'micro',
      kind: 'para',
      kernel: '/k',
      initrd: '/i',
      append: 'a="b c" d',
      virtioTransport: 'mmio',
      deterministic: true,
    },
    {
      name: 'box',
      kind: 'os',
      image: 'debian:12',
      command: ['sh', '-c', 'echo "a  b" \\ $HOME; --x'],
      env: ['A=b c', 'D='],
      workdir: '/w',
      user: 'nobody:nogroup',
      volumes: [{ host: '/data', guest: '/d', readOnly: true }],
      tty: true,
      nets: [{ network: 'nat+host' }],
    },
  ];
  for (const settings of all) assert.deepEqual(parsed(createLine(settings)), GuestSettings.parse(settings));
});

async function launch(
  t: TestContext,
): Promise<{ page: Page; home: string; kernel: string; trivisor(line: string): Promise<string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-wizard-'));
  const home = join(folder, 'home');
  const { kernel, machineModule } = smallGuest(folder);
  const app = await browser!.launch({ home, machineModule });
  const broken: string[] = [];
  app.page.on('pageerror', (error) => broken.push(error.message));
  t.after(async () => {
    await app.close();
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(broken, []);
  });
  app.page.setDefaultTimeout(20_000);
  await app.page.getByRole('heading', { name: 'Welcome to Trivisor' }).waitFor();
  const bin = join(import.meta.dirname, '..', '..', 'main', 'cli', 'bin.ts');
  return {
    page: app.page,
    home,
    kernel,
    // As a person would: the line in a shell. It speaks to the app, which owns the home.
    trivisor: async (line) => {
      const script = `trivisor() { "${process.execPath}" "${bin}" "$@"; }\n${line}`;
      return (await promisify(execFile)('sh', ['-ec', script], { env: { ...process.env, TRIVISOR_HOME: home } }))
        .stdout;
    },
  };
}

test('a guest is made page by page, and its line makes the same', options, async (t) => {
  const { page, trivisor, home } = await launch(t);
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
  const info = async (): Promise<GuestSettings> =>
    JSON.parse(await trivisor(`trivisor info 'Debian server' --json`)).settings;
  await press('New guest');
  await page.getByRole('radio', { name: 'Full' }).check();
  await press('Next');
  await page.getByText('Name must be').waitFor();
  await page.getByLabel('Name').fill('Debian server');
  await page.getByLabel('Group').fill('Servers');
  await press('Next');
  // The name tells of a system, which a person may correct.
  assert.equal(await page.getByLabel('Operating system').inputValue(), 'debian');
  await page.getByLabel('Operating system').selectOption('dos');
  await press('Next');
  assert.equal(await page.getByLabel('Memory in MiB').inputValue(), '32');
  await press('System');
  await page.getByLabel('Operating system').selectOption('debian');
  await press('Resources');
  assert.equal(await page.getByLabel('Memory in MiB', { exact: true }).inputValue(), '1024');
  await page.getByText(/free on this host/).waitFor();
  await page.getByLabel('Memory in MiB', { exact: true }).fill('0');
  await page.getByText('Memory must be at least 1 MiB.').waitFor();
  await press('Next');
  assert.equal(await page.getByLabel('Memory in MiB', { exact: true }).count(), 1, 'what is wrong is put right first');
  await page.getByLabel('Memory in MiB', { exact: true }).fill('96');
  await press('Next');
  await page.getByLabel('Size').fill('1');
  await press('Next');
  await press('Port forward');
  await press('Next');
  await page.getByLabel('CPU weight').fill('200');
  await press('Next');
  await page.getByText('AHCI (SATA)').waitFor();
  const line = (await page.getByTestId('line').textContent())!;
  assert.ok(line.startsWith(`trivisor disk create ${join(home, 'disks', 'Debian-server.qcow2')} 1G`), line);
  await trivisor(line);
  // The app shows at once what the command line made.
  await page.getByRole('treeitem').filter({ hasText: 'Debian server' }).waitFor();
  const made = await info();
  await trivisor(`trivisor rm 'Debian server' --disks`);
  await press('Create');
  await page.getByRole('heading', { name: 'Debian server' }).waitFor();
  assert.deepEqual(await info(), made);
  assert.deepEqual(
    [made.group, made.memoryMiB, made.cpuWeight, made.disks[0]?.interface, made.virtio],
    ['Servers', 96, 200, 'ahci', ['rng', 'balloon']],
  );
});

test('of a guest that runs only what takes effect at once can be changed', options, async (t) => {
  const { page, trivisor, kernel } = await launch(t);
  await trivisor(`trivisor create busy --kernel ${kernel} --memory 32`);
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.locator('[data-state=running]').waitFor();
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Settings…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Settings of busy' });
  for (const label of ['Memory in MiB', 'vCPUs', 'Name', 'Paravirtualization'])
    assert.ok(await dialog.getByLabel(label, { exact: true }).isDisabled(), label);
  assert.ok(await dialog.getByRole('button', { name: 'New disk' }).isDisabled());
  await dialog.getByLabel('CPU weight').fill('0');
  await dialog.getByText('CPU weight must be at least 1.').waitFor();
  await dialog.getByLabel('CPU weight').fill('300');
  await dialog.getByLabel('Group').fill('Hot');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
  await until(async () => (await page.getByRole('treeitem').first().textContent())!.includes('Hot'));
  const { settings, state } = JSON.parse(await trivisor('trivisor info busy --json'));
  assert.deepEqual([settings.cpuWeight, settings.group, state], [300, 'Hot', 'running']);
  await trivisor('trivisor stop busy --force');
});
