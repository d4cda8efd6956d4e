// A process that owns a home and does things to its guests at random, until it is killed: for the test of recovery.
// Owns the choice of acts, by its seed, and tells each before and behind it on standard output.
// Never used by the product.

import { seeded } from '../../native-free-core/disk/testing/memory-file.ts';
import { claimHome } from './home.ts';

const [home, machineModule, seed] = process.argv.slice(2) as [string, string, string];
const random = seeded(Number(seed));
const owner = await claimHome({ home, machineModule });
if (!owner) throw new Error('The home has an owner already.');
const client = owner.client();
const tell = (line: string): void => void process.stdout.write(`${line}\n`);

const one = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
const guests = (await client.call('guests.list')).map(({ id, settings }) => ({ id, name: settings.name }));
tell('ready');

async function act(mine: typeof guests): Promise<void> {
  const guest = one(mine);
  const view = await client.call('guests.get', { guest: guest.id });
  const verb =
    view.state === 'off'
      ? one(['start', 'start', 'snapshot', 'export'] as const)
      : one(['save', 'force', 'reset', 'snapshot'] as const);
  tell(`begin ${verb} ${guest.name}`);
  try {
    if (verb === 'start') await client.call('guests.start', { guest: guest.id });
    else if (verb === 'save') await client.call('guests.save', { guest: guest.id });
    else if (verb === 'force') await client.call('guests.stop', { guest: guest.id, force: true });
    else if (verb === 'reset') await client.call('guests.reset', { guest: guest.id });
    else if (verb === 'export')
      await client.call('appliances.export', { guest: guest.id, file: `${home}/${Math.floor(random() * 1e9)}.ova` });
    else await client.call('snapshots.take', { guest: guest.id, name: `at ${Math.floor(random() * 1e9)}` });
    tell(`end ${verb} ${guest.name}`);
  } catch (error) {
    // A disposable guest cannot be saved, for one.
    tell(`refused ${verb} ${guest.name}: ${(error as Error).message}`);
  }
}

// Two at a time, so that the kill meets acts of several guests; one at a time of each.
await Promise.all([forever(guests.slice(0, 1)), forever(guests.slice(1))]);

async function forever(mine: typeof guests): Promise<never> {
  for (;;) await act(mine);
}
