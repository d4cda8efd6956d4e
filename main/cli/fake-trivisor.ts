// The command line with the fake machine in place of the core's, for tests that start it as a process.
// Owns nothing.
// Never part of the product.

import { execute } from './program.ts';

const machineModule = new URL('../guests/fake-machine.ts', import.meta.url).href;
process.exitCode = await execute(process.argv.slice(2), { machineModule });
