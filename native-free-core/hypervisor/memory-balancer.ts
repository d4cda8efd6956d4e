// Memory of para guests as one pool: how much each is to have, by its demand, within its bounds and the host's budget.
// Owns the division and the order in which memory changes hands. All amounts are bytes.
// Never talks to a balloon and never looks at a clock: whoever owns both asks it now and then.

/** A guest as the balancer sees it. */
export interface BalancedGuest {
  readonly name: string;
  /** It never has less, whoever wants it, and never more than `maximum`, which is what it was started with. */
  readonly minimum: number;
  readonly maximum: number;
  /** What it could make use of now, as it says or as its statistics tell: see {@link memoryDemand}. */
  readonly demand: number;
  /** What it has: its maximum less its balloon as it really is. */
  readonly actual: number;
  /** Of two guests that want more than there is, one of twice the weight gets twice as much of what is missing. */
  readonly weight: number;
}

export interface Balance {
  /** What each guest's memory is to be next, by name. Their sum, with what has yet to be given back, fits the budget. */
  readonly targets: ReadonlyMap<string, number>;
  /** By how much the guests' minimums exceed the budget; 0 where they fit. */
  readonly shortage: number;
}

const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);

/** Changes smaller than this are not worth moving a balloon for. */
export const SMALLEST_MOVE = 4 << 20;
/** Targets are whole pages. */
const PAGE = 4096;
const whole = (bytes: number): number => Math.floor(bytes / PAGE) * PAGE;

interface Claim {
  readonly guest: BalancedGuest;
  share: number;
  /** The share that satisfies it. */
  readonly wants: number;
}

/**
 * Divides `left` among claims by weight: each gets up to what it wants, and what one does not want goes to the others
 * (weighted max-min fairness). Answers what nobody wants.
 */
function fill(claims: readonly Claim[], left: number): number {
  let open = claims.filter(({ share, wants }) => share < wants);
  while (open.length > 0 && left > 0) {
    const weights = open.reduce((sum, { guest }) => sum + guest.weight, 0);
    // The first to be satisfied, per weight, says how far all can be filled at once.
    const level = Math.min(left / weights, ...open.map(({ share, wants, guest }) => (wants - share) / guest.weight));
    for (const claim of open) claim.share += level * claim.guest.weight;
    left -= level * weights;
    const before = open.length;
    open = open.filter(({ share, wants }) => wants - share > 0.5);
    // Nobody was satisfied, so nothing is left.
    if (open.length === before) return 0;
  }
  return Math.max(0, left);
}

/** What each guest should have in the end: its minimum, then its demand, then what it has already and nobody else wants. */
export function divideMemory(guests: readonly BalancedGuest[], budget: number): Map<string, number> {
  const claim = (of: (guest: BalancedGuest) => number, shares: ReadonlyMap<string, number>): Claim[] =>
    guests.map((guest) => ({
      guest,
      share: shares.get(guest.name) ?? guest.minimum,
      wants: clamp(of(guest), guest.minimum, guest.maximum),
    }));
  const sharesOf = (claims: readonly Claim[]) => new Map(claims.map(({ guest, share }) => [guest.name, share]));
  let left = Math.max(0, budget - guests.reduce((sum, { minimum }) => sum + minimum, 0));
  const needs = claim(({ demand }) => demand, new Map());
  left = fill(needs, left);
  // Memory stays where it is until somebody wants it: a guest's page cache is of use to it.
  const keeps = claim(({ actual, demand }) => Math.max(actual, demand), sharesOf(needs));
  fill(keeps, left);
  return sharesOf(keeps);
}

/**
 * The next step. Whoever is to have less is told at once; whoever is to have more gets what is free now, that is what no guest
 * has: memory that a balloon has yet to give back is nobody else's.
 */
export function balanceMemory(guests: readonly BalancedGuest[], budget: number): Balance {
  const goal = divideMemory(guests, budget);
  const minimums = guests.reduce((sum, { minimum }) => sum + minimum, 0);
  const targets = new Map<string, number>();
  let free = budget;
  for (const { name, actual, minimum, maximum } of guests) {
    const target = whole(goal.get(name) ?? minimum);
    const isSmall = Math.abs(target - actual) < SMALLEST_MOVE && actual >= minimum && actual <= maximum;
    targets.set(name, isSmall ? whole(actual) : target);
    free -= Math.max(actual, minimum);
  }
  const growing = guests.filter(({ name, actual }) => (targets.get(name) ?? 0) > actual);
  const claims = growing.map((guest) => ({
    guest,
    share: Math.max(guest.actual, guest.minimum),
    wants: targets.get(guest.name) ?? guest.minimum,
  }));
  fill(claims, Math.max(0, free));
  for (const { guest, share } of claims) targets.set(guest.name, whole(share));
  return { targets, shortage: Math.max(0, minimums - budget) };
}

/** What a guest's virtio balloon tells of its memory (VIRTIO 1.2, 5.5.6.3), bytes, and counts since its start. */
export interface MemoryStatistics {
  /** What is neither free nor caches; programs could have the rest without swapping. */
  readonly used: number;
  readonly swappedIn: number;
  readonly majorFaults: number;
}

/** A guest that uses so much is to have a sixth more, and at least so many bytes. */
const HEADROOM = 1 / 6;
const LEAST_HEADROOM = 16 << 20;
/** Pages that come back from a disk in a period: from here on a guest is short of memory, whatever it says is available. */
const THRASHING_FAULTS = 256;
const THRASHING_SWAP = 1 << 20;
/** A guest that is short wants so much more than it uses. */
const SHORT_HEADROOM = 1 / 2;

/** What a guest could make use of, by its statistics now and one period before. */
export function memoryDemand(now: MemoryStatistics, before: MemoryStatistics | undefined): number {
  const { used } = now;
  const isShort =
    before !== undefined &&
    (now.swappedIn - before.swappedIn >= THRASHING_SWAP || now.majorFaults - before.majorFaults >= THRASHING_FAULTS);
  return used + Math.max(LEAST_HEADROOM, used * (isShort ? SHORT_HEADROOM : HEADROOM));
}
