// `trivisor serve` with a machine of the tests in place of the core's, named by the first argument.
// Owns nothing.
// Never used where the core itself is tested: then the command line's own bundle serves.

import { execute } from '../../main/cli/program.ts';

const [machineModule, ...args] = process.argv.slice(2);
process.exitCode = await execute(['serve', ...args], { machineModule });
