// `trivisor screenshot` and `trivisor type`: the display and the keyboard of a guest that runs elsewhere.
// Owns the file a screenshot goes to, and what is told of both.
// Never reads the screen itself: the calls of the contract do.

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Client } from '../contract.ts';
import { explainFileError, homeFolder } from '../files/folders.ts';
import { withHome } from '../home/home.ts';
import { pieceStrokes, readEscapes } from '../keyboard/us-layout.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, tell, UsageError } from './output.ts';

export function addDisplayVerbs(program: Command): void {
  program
    .command('screenshot')
    .description("write a running guest's display to a PNG file")
    .argument('<name>')
    .argument('<file>', 'such as screen.png')
    .action(async (name: string, file: string, flags: CommonFlags) => {
      const { width, height, png } = await visit(flags, (client) => client.call('guests.screenshot', { guest: name }));
      const path = resolve(file);
      try {
        writeFileSync(path, Buffer.from(png, 'base64'));
      } catch (error) {
        throw new UsageError(explainFileError(error, `Cannot write the screenshot ${path}`));
      }
      if (flags.json) printJson({ file: path, width, height });
      else tell(`${file} is written: ${width} × ${height}.`);
    });

  program
    .command('type')
    .description("type at a running guest's keyboard, as on a US one")
    .argument('<name>')
    .argument('<text>', '\\n is Enter, \\t Tab, \\e Escape, \\\\ a backslash, \\{Ctrl-Alt-Del} keys pressed together')
    .action(async (name: string, text: string, flags: CommonFlags) => {
      const pieces = readEscapes(text);
      if (pieces.length === 0) throw new UsageError('There is nothing to type.');
      // All of it is judged before the first of it is typed.
      pieceStrokes(pieces);
      const strokes = await visit(flags, async (client) => {
        let sum = 0;
        for (const piece of pieces) {
          const typed =
            'keys' in piece
              ? await client.call('guests.press', { guest: name, keys: piece.keys })
              : await client.call('guests.type', { guest: name, text: piece.text });
          sum += typed.strokes;
        }
        return sum;
      });
      if (flags.json) printJson({ guest: name, strokes });
    });
}

/** Does one act with a client, and closes it. */
const visit = <Result>(flags: CommonFlags, act: (client: Client) => Promise<Result>): Promise<Result> =>
  withHome({ home: homeFolder(flags.home) }, act);
