#!/usr/bin/env node
// The `trivisor` command: hands its arguments to the program and ends with its status.
// Owns nothing.
// Never imported by another module.

import { limitEngineThreads } from './engine-threads.ts';

const args = process.argv.slice(2);
limitEngineThreads(args);
const { execute } = await import('./program.ts');
process.exitCode = await execute(args);
