// The name server of a translated network: guests and the host by name; all other questions go to the host's server.
// Owns the reading of questions and the answers that are its own (RFC 1035, 6891, 7766).
// Never keeps an answer of the host's server.

import type { HostSockets, HostTcp, HostTcpEvents } from './host-sockets.ts';
import { domainName } from './neighbour-discovery.ts';
import { type Address, type Address6, parseAddress, putAddress6, putDword, putWord, word } from './wire.ts';

/** The domain of the guests' names. */
export const DOMAIN = 'trivisor';
const HEADER_BYTES = 12;
const Type = { a: 1, ptr: 12, aaaa: 28, opt: 41, any: 255 } as const;
const INTERNET = 1;
const Code = { done: 0, format: 1, failed: 2, noName: 3 } as const;
const Flag = { answer: 0x8000, authoritative: 0x0400, truncated: 0x0200, recurses: 0x0080 } as const;
/** What may be kept of a query's flags: its kind, and whether it wants recursion. */
const KEPT_FLAGS = 0x7900;
/** Seconds for which an answer of ours is true: guests come and go. */
const TTL = 5;
/** Bytes of an answer by UDP where the question names no other number (RFC 1035, 4.2.1). */
const UDP_MAX = 512;
const NAME_MAX = 255;
const MESSAGE_MAX = 0xffff;
/** Questions of one connection that the host's server has not answered: more close it. */
const PENDING_MAX = 64;

/** Names that are known here. */
export interface Zone {
  /** Where a name without its domain is; undefined where nobody has it. */
  find(label: string): { address: Address | undefined; address6: Address6 | undefined } | undefined;
  /** Who is at an address of this network; null where that is nobody, undefined where the address is of another. */
  nameOf(address: Address): string | null | undefined;
}

interface Question {
  name: string;
  type: number;
  /** Where the question ends in the message. */
  end: number;
}

/** The only question of a query; undefined where the message is none. */
function readQuestion(message: Uint8Array): Question | undefined {
  if (message.length < HEADER_BYTES || (word(message, 2) & Flag.answer) !== 0 || word(message, 4) !== 1)
    return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at - HEADER_BYTES > NAME_MAX) return undefined;
    at++;
    if (length === 0) break;
    labels.push(String.fromCharCode(...message.subarray(at, at + length)));
    at += length;
  }
  if (at + 4 > message.length || word(message, at + 2) !== INTERNET) return undefined;
  return { name: labels.join('.').toLowerCase(), type: word(message, at), end: at + 4 };
}

/** The bytes that who asked takes by UDP: what its EDNS record says (RFC 6891, 6.2.3). */
export function answerRoom(query: Uint8Array): number {
  const question = readQuestion(query);
  if (question === undefined || word(query, 6) !== 0 || word(query, 8) !== 0 || word(query, 10) === 0) return UDP_MAX;
  // The record of the root name, first of what is additional, as every resolver puts it.
  const { end } = question;
  if (end + 11 > query.length || query[end] !== 0 || word(query, end + 1) !== Type.opt) return UDP_MAX;
  return Math.max(UDP_MAX, word(query, end + 3));
}

/** An answer as far as `room` lets it be told by UDP: a longer one is asked for again by TCP (RFC 2181, 9). */
export function fitted(answer: Uint8Array, room: number): Uint8Array {
  if (answer.length <= room) return answer;
  const asQuery = answer.slice();
  putWord(asQuery, 2, word(asQuery, 2) & ~Flag.answer);
  const end = readQuestion(asQuery)?.end ?? HEADER_BYTES;
  const short = answer.slice(0, end);
  putWord(short, 2, word(short, 2) | Flag.truncated);
  putWord(short, 4, end === HEADER_BYTES ? 0 : 1);
  short.fill(0, 6, HEADER_BYTES);
  return short;
}

function response(query: Uint8Array, end: number, code: number, records: readonly Uint8Array[] = []): Uint8Array {
  const length = records.reduce((sum, record) => sum + record.length, end);
  const message = new Uint8Array(length);
  message.set(query.subarray(0, end));
  putWord(message, 2, Flag.answer | Flag.authoritative | Flag.recurses | (word(query, 2) & KEPT_FLAGS) | code);
  putWord(message, 4, end > HEADER_BYTES ? 1 : 0);
  putWord(message, 6, records.length);
  putWord(message, 8, 0);
  putWord(message, 10, 0);
  let at = end;
  for (const record of records) {
    message.set(record, at);
    at += record.length;
  }
  return message;
}

/** A record of the name that was asked for. */
function record(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  // Where the question's name is.
  putWord(bytes, 0, 0xc000 | HEADER_BYTES);
  putWord(bytes, 2, type);
  putWord(bytes, 4, INTERNET);
  putDword(bytes, 6, TTL);
  putWord(bytes, 10, data.length);
  bytes.set(data, 12);
  return bytes;
}

/** The answer to a query that is ours to answer; undefined where the host's server is to be asked. */
export function localAnswer(query: Uint8Array, zone: Zone): Uint8Array | undefined {
  const question = readQuestion(query);
  if (question === undefined) {
    const isQuery = query.length >= HEADER_BYTES && (word(query, 2) & Flag.answer) === 0;
    return isQuery ? response(query, HEADER_BYTES, Code.format) : new Uint8Array(0);
  }
  const { name, type, end } = question;
  const reverse = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name);
  const asked = reverse && parseAddress(reverse.slice(1).reverse().join('.'));
  if (asked) {
    const holder = zone.nameOf(asked);
    if (holder === undefined) return undefined;
    if (holder === null) return response(query, end, Code.noName);
    const isAsked = type === Type.ptr || type === Type.any;
    return response(query, end, Code.done, isAsked ? [record(Type.ptr, domainName(`${holder}.${DOMAIN}`))] : []);
  }
  const isOurs = name === DOMAIN || name.endsWith(`.${DOMAIN}`);
  const label = isOurs ? name.slice(0, -DOMAIN.length - 1) : name;
  const found = label === '' || label.includes('.') ? undefined : zone.find(label);
  if (found === undefined) return isOurs ? response(query, end, Code.noName) : undefined;
  const records: Uint8Array[] = [];
  if ((type === Type.a || type === Type.any) && found.address !== undefined) {
    const bytes = new Uint8Array(4);
    putDword(bytes, 0, found.address);
    records.push(record(Type.a, bytes));
  }
  if ((type === Type.aaaa || type === Type.any) && found.address6 !== undefined) {
    const bytes = new Uint8Array(16);
    putAddress6(bytes, 0, found.address6);
    records.push(record(Type.aaaa, bytes));
  }
  return response(query, end, Code.done, records);
}

/** What is said where there is nobody to ask. */
export function failedAnswer(query: Uint8Array): Uint8Array {
  const question = readQuestion(query);
  return response(query, question?.end ?? HEADER_BYTES, question ? Code.failed : Code.format);
}

/** A guest's name as a label: what names of guests have and labels lack becomes a dash. */
export function labelOf(name: string): string {
  const plain = name.normalize('NFD').toLowerCase();
  return plain
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

/** Messages behind their lengths (RFC 1035, 4.2.2), put together from what came. */
class Messages {
  private rest = new Uint8Array(0);

  *add(bytes: Uint8Array): Generator<Uint8Array> {
    let all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    while (all.length >= 2 && all.length >= 2 + word(all, 0)) {
      const end = 2 + word(all, 0);
      yield all.subarray(2, end);
      all = all.subarray(end);
    }
    this.rest = all.slice();
  }
}

function behindLength(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  putWord(bytes, 0, message.length);
  bytes.set(message, 2);
  return bytes;
}

/** The name server as what a guest's TCP connection leads to. The host's server is connected with its first question. */
export function dnsOverTcp(sockets: HostSockets, zone: Zone, events: HostTcpEvents): HostTcp {
  const questions = new Messages();
  const answers = new Messages();
  let server: HostTcp | undefined;
  let isOver = false;
  let hasEnded = false;
  let pending = 0;
  const answer = (message: Uint8Array): void => {
    if (message.length > 0 && message.length <= MESSAGE_MAX) events.data(behindLength(message));
  };
  const over = (reason: Parameters<HostTcpEvents['closed']>[0]): void => {
    if (isOver) return;
    isOver = true;
    server?.destroy();
    events.closed(reason);
  };
  const endIfAnswered = (): void => {
    if (hasEnded && pending === 0 && !isOver) events.ended();
  };
  const ask = (query: Uint8Array): void => {
    const place = sockets.nameServer();
    if (place === undefined) {
      answer(failedAnswer(query));
      return;
    }
    if (++pending > PENDING_MAX) {
      over('reset');
      return;
    }
    server ??= sockets.connectTcp(place.address, place.port, {
      connected() {},
      data(bytes) {
        for (const message of answers.add(bytes)) {
          pending = Math.max(0, pending - 1);
          answer(message);
        }
        endIfAnswered();
      },
      drained: () => events.drained(),
      ended: () => events.ended(),
      closed: (reason) => over(reason === 'done' && pending === 0 ? 'done' : 'reset'),
    });
    server.write([behindLength(query)]);
  };
  // Whoever connects is told so after it has what it connects.
  void Promise.resolve().then(() => {
    if (!isOver) events.connected();
  });
  return {
    write(pieces) {
      for (const piece of pieces) {
        for (const query of questions.add(piece)) {
          if (isOver) return;
          const own = localAnswer(query, zone);
          if (own === undefined) ask(query.slice());
          else answer(own);
        }
      }
    },
    get pending() {
      return server?.pending ?? 0;
    },
    end() {
      hasEnded = true;
      endIfAnswered();
    },
    destroy() {
      isOver = true;
      server?.destroy();
    },
    pause: () => server?.pause(),
    resume: () => server?.resume(),
  };
}
