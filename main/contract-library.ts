// What the guest library asks for: groups, glances at many guests, what a file is, and files that a page brings along.
// Owns their schemas and bounds, and which settings can be changed while a guest runs.
// Never imports more than the contract may: a browser bundles it as it is.

import { z } from 'zod';
import { path } from './contract-networks.ts';

/** A group's name: as a guest's own, with room for a path of groups that a person writes with slashes. */
export const GroupName = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._/-]{0,62}$/u,
    'must be 1 to 63 letters, digits, spaces, dots, slashes, dashes or underscores',
  )
  .regex(/\S$/, 'must not end with a space');

/** Media of removable drives, what a balloon may take, and a guest's share of the processors: what is changed while it runs. */
export const mediaSettings = ['cdrom', 'floppies'] as const;
export const balloonSettings = ['balloonMiB', 'memoryMinMiB'] as const;
export const shareSettings = ['cpuWeight', 'cpuCap'] as const;
/** Settings that can be changed of a guest that runs; those of drives and of a balloon, where it has one. */
export const hotSettings = [...mediaSettings, ...balloonSettings, ...shareSettings, 'group'] as const;

/** Guests looked at in one call: more than a list shows at once. */
export const GLANCES_MAX = 64;
/** Pixels across of the pictures: small ones, which are made once a second for each guest in sight. */
const GLANCE_WIDTH_MIN = 16;
const GLANCE_WIDTH_MAX = 320;
/** Rows and columns of a console that has no picture beside it. */
export const GLANCE_ROWS = 8;
export const GLANCE_COLUMNS = 48;

export const GlanceRequest = z.strictObject({
  guests: z
    .array(
      z.strictObject({
        id: z.string().min(1),
        /** What the page has of it already; null: nothing. */
        known: z.string().nullable().default(null),
      }),
    )
    .max(GLANCES_MAX, `must be at most ${GLANCES_MAX}`),
  width: z.int().min(GLANCE_WIDTH_MIN).max(GLANCE_WIDTH_MAX),
});

/** A guest at a glance. One that shows what is known already is left out, as is one that is not in memory. */
export const Glance = z.object({
  id: z.string(),
  /** Names what is shown: another one is something else. */
  known: z.string(),
  /** The display, scaled down: a PNG in base64. Null where the guest has none. */
  png: z.base64().nullable(),
  /** The console's last lines, where there is no display. */
  lines: z.array(z.string()).nullable(),
});
export type Glance = z.output<typeof Glance>;

/** What a file of the host can be to a guest. */
export const fileUses = ['cd', 'disk', 'floppy', 'kernel', 'image', 'appliance'] as const;
export const FileIdentity = z.object({
  path: z.string(),
  /** Null: nothing that a guest is made from; `description` then says so in a sentence. */
  use: z.enum(fileUses).nullable(),
  /** A few words: what is in it and how large it is. */
  description: z.string(),
});
export type FileIdentity = z.output<typeof FileIdentity>;

/** The most bytes of a file that a page brings along: larger than any medium of a guest. */
export const UPLOAD_BYTES_MAX = 2 ** 40;
/** Bytes that a page sends ahead of those that are written. */
export const UPLOAD_WINDOW = 8 << 20;
/** Bytes of one data frame of an upload. */
export const UPLOAD_PIECE = 256 << 10;

/** The longest file name of the usual file systems. */
const FILE_NAME_MAX = 255;

/** A file's name without a folder: what a page knows of a file that was dropped on it. */
export const FileName = z
  .string()
  .min(1, 'needs a name')
  .max(FILE_NAME_MAX, `must be at most ${FILE_NAME_MAX} characters`)
  .refine(
    (name) => !/[/\\\p{Cc}]/u.test(name) && name !== '.' && name !== '..' && !name.startsWith('.'),
    'must be a file name without a folder',
  );

export const UploadRequest = z.strictObject({
  name: FileName,
  bytes: z.int().min(0).max(UPLOAD_BYTES_MAX, 'must be at most 1 TiB'),
});

/** What the host says of an upload: a line of JSON each data frame. The file's path comes when all of it is written. */
export const UploadMessage = z.union([z.strictObject({ written: z.number() }), z.strictObject({ path })]);
export type UploadMessage = z.output<typeof UploadMessage>;
