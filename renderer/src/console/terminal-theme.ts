// The terminal's colours: the sixteen a guest names, and the ground they stand on.
// Owns the palette; both themes read the same dark ground, as consoles of guests expect one.
// Never touches a terminal.

import type { ITheme } from '@xterm/xterm';
import { color } from '../state/theme.svelte.ts';

export function terminalTheme(): ITheme {
  return {
    background: color('--terminal-background'),
    foreground: '#d8dde6',
    cursor: '#9dbbff',
    cursorAccent: '#0f1216',
    selectionBackground: '#34507f',
    black: '#2a303b',
    red: '#f07178',
    green: '#7fd18b',
    yellow: '#e6c07b',
    blue: '#7aa6ff',
    magenta: '#c99af0',
    cyan: '#5fd0d6',
    white: '#d8dde6',
    brightBlack: '#6b7687',
    brightRed: '#ff9a9e',
    brightGreen: '#a2e8ab',
    brightYellow: '#f5d9a0',
    brightBlue: '#a6c4ff',
    brightMagenta: '#dfbaff',
    brightCyan: '#8fe7ec',
    brightWhite: '#ffffff',
  };
}
