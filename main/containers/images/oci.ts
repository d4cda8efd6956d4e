// The documents of an image: OCI index, manifest and configuration, and the manifest of `docker save`.
// Owns their schemas and the choice of the one image that OS-level guests can be made of.
// Never reads files: whoever calls has the documents.

import { z } from 'zod';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const text = z.string().max(65536);
const words = z.array(text).max(4096).nullish();

const Platform = z.object({ os: text, architecture: text, variant: text.optional() });

const Descriptor = z.object({
  mediaType: text.optional(),
  digest,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: Platform.nullish(),
});
export type Descriptor = z.output<typeof Descriptor>;

export const OciIndex = z.object({ schemaVersion: z.literal(2), manifests: z.array(Descriptor).max(1000) });
export const OciManifest = z.object({
  schemaVersion: z.literal(2),
  config: Descriptor,
  layers: z.array(Descriptor).max(500),
});

export const OciConfig = z.object({
  os: text,
  architecture: text,
  created: text.nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).max(500) }),
  config: z
    .object({
      Env: words,
      Entrypoint: words,
      Cmd: words,
      User: text.nullish(),
      WorkingDir: text.nullish(),
      StopSignal: text.nullish(),
    })
    .nullish(),
});
export type OciConfig = z.output<typeof OciConfig>;

export const DockerManifest = z
  .array(z.object({ Config: text, RepoTags: z.array(text).nullish(), Layers: z.array(text).max(500) }))
  .min(1)
  .max(1000);
export type DockerManifest = z.output<typeof DockerManifest>;

/** A document of an image, checked. Throws an {@link ImageError} that says which one is wrong. */
export function parseDocument<Schema extends z.ZodType>(
  schema: Schema,
  bytes: Uint8Array,
  what: string,
): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new ImageError(`The image's ${what} is no JSON document.`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ImageError(`The image's ${what} is not valid: ${issue.path.join('.') || 'it'}: ${issue.message}.`);
}

/** Why an image for another system cannot be an OS-level guest, and what can. */
export function otherSystem(what: string): ImageError {
  return new ImageError(
    `This image is for ${what}. OS-level guests share one kernel, which is Linux for x86-64, so all of them must be ` +
      'linux/amd64. Another system for x86 runs as a full guest (--kind full), from a disk or CD of its own.',
  );
}

/** Whether a guest can be made of it. */
export const isOurs = ({ os, architecture }: { os: string; architecture: string }): boolean =>
  os === 'linux' && architecture === 'amd64';

const REF_NAME = 'org.opencontainers.image.ref.name';

/** The name that a manifest goes by in its index. */
export const nameOf = ({ annotations }: Descriptor): string | null =>
  annotations?.['io.containerd.image.name'] ?? annotations?.[REF_NAME] ?? null;

/** Attestations and signatures stand beside images in an index, for a platform that is none. */
export const isAttestation = ({ annotations, platform }: Descriptor): boolean =>
  annotations?.['vnd.docker.reference.type'] !== undefined || platform?.os === 'unknown';

export const isIndex = ({ mediaType }: Descriptor): boolean =>
  mediaType === 'application/vnd.oci.image.index.v1+json' ||
  mediaType === 'application/vnd.docker.distribution.manifest.list.v2+json';

/** The one of several that was asked for by its name, or the only one. Throws where it is not clear which. */
export function chooseOne<Item>(
  items: readonly Item[],
  names: (item: Item) => readonly string[],
  wanted: string | null,
): Item {
  if (wanted !== null) {
    const found = items.find((item) => names(item).some((name) => name === wanted || name.endsWith(`:${wanted}`)));
    if (found) return found;
  } else if (items.length === 1) return items[0];
  const known = items.flatMap((item) => names(item));
  const listed = known.length > 0 ? `: ${known.join(', ')}` : ', which have no names';
  throw new ImageError(
    wanted === null
      ? `There are ${items.length} images in it${listed}; say which with --ref.`
      : `There is no image ${wanted} in it; it has ${items.length}${listed}.`,
  );
}
