#!/usr/bin/env node
// The `trivisor` command: hands its arguments to the program and ends with its status.
// Owns nothing.
// Never imported by another module.

import { execute } from './program.ts';

process.exitCode = await execute(process.argv.slice(2));
