// How large a guest's picture is shown.
// Owns the arithmetic of the three ways to scale.
// Never touches a page.

export const scaleModes = ['fit', 'integer', 'original'] as const;
export type ScaleMode = (typeof scaleModes)[number];

interface Size {
  width: number;
  height: number;
}

/** A multiple this little above a whole one is not worth its uneven letters. */
const SNAP = 0.08;

/** What a picture's pixels are multiplied by to be shown in `room`; sizes in CSS pixels, more than 0. */
export function scaleOf(mode: ScaleMode, picture: Size, room: Size): number {
  if (mode === 'original') return 1;
  const fit = Math.min(room.width / picture.width, room.height / picture.height);
  // A picture that does not fit once is better seen whole than cut off.
  if (fit < 1) return Math.max(fit, 0.05);
  const whole = Math.floor(fit);
  return mode === 'integer' || fit - whole < SNAP ? whole : fit;
}

/**
 * Whether pixels are shown as squares. In between, where some pixels would be twice as wide as others, smoothing keeps
 * letters even.
 */
export function isCrisp(scale: number, devicePixelRatio: number): boolean {
  const ratio = scale * devicePixelRatio;
  return ratio >= 2 || Math.abs(ratio - Math.round(ratio)) < 0.01;
}
