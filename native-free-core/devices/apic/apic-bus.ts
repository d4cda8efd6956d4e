// The bus between the APICs of a machine: carries interrupt messages and ends of level-triggered interrupts.
// Owns who is on the bus and how a destination is resolved, lowest priority included.
// Never knows registers: the APICs decide what a message does.

/** Delivery modes, as encoded in the ICR, the LVT and the redirection table (Intel SDM vol. 3, 11.5.1). */
export const DeliveryMode = {
  fixed: 0,
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startup: 6,
  external: 7,
} as const;
export type DeliveryMode = (typeof DeliveryMode)[keyof typeof DeliveryMode];

/** One interrupt message. */
export interface ApicMessage {
  mode: number;
  vector: number;
  level: boolean;
  /** Destination: an APIC id, or in logical mode a set of processors. */
  destination: number;
  logical: boolean;
}

/** Shorthands of the ICR. */
export const Shorthand = { none: 0, self: 1, all: 2, others: 3 } as const;

/** A local APIC as the bus sees it. */
export interface ApicTarget {
  readonly id: number;
  /** Whether a logical destination names this processor. */
  matchesLogical(destination: number): boolean;
  /** Arbitration priority: the processor with the least takes a lowest-priority message. */
  readonly arbitrationPriority: number;
  /** Whether it takes fixed and lowest-priority interrupts at all. */
  readonly acceptsInterrupts: boolean;
  accept(message: ApicMessage): void;
}

/** An I/O APIC as the bus sees it. */
export interface EndOfInterruptListener {
  endOfInterrupt(vector: number): void;
}

/** What APICs see of the bus. */
export interface ApicMessages {
  /** Delivers a message; returns whether some processor took it. */
  deliver(message: ApicMessage): boolean;
  /** Delivers by a shorthand other than none, from the processor `sender`. */
  deliverShorthand(message: ApicMessage, shorthand: number, sender: ApicTarget): boolean;
  /** A processor ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
}

const BROADCAST = 0xff;

/** The system of APICs of one machine whose processors run on one thread. */
export class ApicBus implements ApicMessages {
  private readonly targets: ApicTarget[] = [];
  private readonly listeners: EndOfInterruptListener[] = [];

  /** Plugs a local APIC in. Ids must differ. */
  add(target: ApicTarget): void {
    this.targets.push(target);
  }

  /** Plugs an I/O APIC in. */
  listen(listener: EndOfInterruptListener): void {
    this.listeners.push(listener);
  }

  deliver(message: ApicMessage): boolean {
    const { destination, logical } = message;
    const addressed = this.targets.filter((target) =>
      logical ? target.matchesLogical(destination) : destination === BROADCAST || target.id === destination,
    );
    return this.send(message, addressed);
  }

  deliverShorthand(message: ApicMessage, shorthand: number, sender: ApicTarget): boolean {
    const addressed = this.targets.filter((target) =>
      shorthand === Shorthand.self ? target === sender : shorthand === Shorthand.all || target !== sender,
    );
    return this.send(message, addressed);
  }

  private send(message: ApicMessage, addressed: readonly ApicTarget[]): boolean {
    const ordinary = message.mode === DeliveryMode.fixed || message.mode === DeliveryMode.lowestPriority;
    const takers = ordinary ? addressed.filter((target) => target.acceptsInterrupts) : addressed;
    if (takers.length === 0) return false;
    if (message.mode === DeliveryMode.lowestPriority) {
      const least = takers.reduce((best, target) =>
        target.arbitrationPriority < best.arbitrationPriority ? target : best,
      );
      least.accept(message);
    } else {
      for (const target of takers) target.accept(message);
    }
    return true;
  }

  endOfInterrupt(vector: number): void {
    for (const listener of this.listeners) listener.endOfInterrupt(vector);
  }
}
