// The client's side of 9P2000.L for tests: messages of any content, and answers as numbers of errors or fields.
// Owns how requests are put together.
// Never used outside tests.

import { HEADER_BYTES, MessageReader, MessageWriter, Request, RLERROR } from './messages.ts';
import type { Server9p } from './server.ts';

export class TestClient {
  readonly server: Server9p;
  /** Bytes that an answer may have. */
  room = 64 * 1024;

  /** `messageBytes`: what the session's messages have at most; 0: no session is begun. */
  constructor(server: Server9p, messageBytes = 64 * 1024) {
    this.server = server;
    if (messageBytes === 0) return;
    this.fields(Request.version, (out) => {
      out.u32(messageBytes);
      out.string('9P2000.L');
    });
    this.attach(0);
  }

  /** Sends a request and gives the answer's type, and its fields. */
  send(type: number, fill: (out: MessageWriter) => void): { type: number; fields: MessageReader } {
    const out = new MessageWriter(new Uint8Array(1 << 20));
    fill(out);
    const answer = this.server.answer(out.finish(type, 7), this.room);
    if (answer === undefined) throw new Error('the server took it for no message');
    return { type: answer[4], fields: new MessageReader(answer.slice(), HEADER_BYTES) };
  }

  /** The error number that a request is answered with; 0: none. */
  error(type: number, fill: (out: MessageWriter) => void): number {
    const answer = this.send(type, fill);
    return answer.type === RLERROR ? answer.fields.u32() : 0;
  }

  /** The fields of an answer that is no error. */
  fields(type: number, fill: (out: MessageWriter) => void): MessageReader {
    const answer = this.send(type, fill);
    if (answer.type !== type + 1) throw new Error(`request ${type} failed with error ${answer.fields.u32()}`);
    return answer.fields;
  }

  attach(fid: number, name = ''): void {
    this.fields(Request.attach, (out) => {
      out.u32(fid);
      out.u32(0xffff_ffff);
      out.string('root');
      out.string(name);
      out.u32(0);
    });
  }

  /** How many of the names were found. */
  walk(from: number, to: number, ...names: string[]): number {
    return this.fields(Request.walk, walking(from, to, names)).u16();
  }

  walkError(from: number, to: number, ...names: string[]): number {
    return this.error(Request.walk, walking(from, to, names));
  }

  /** Makes a file, which `fid`, its directory before, stands for then. */
  create(fid: number, name: string, { flags = 2, mode = 0o644 } = {}): number {
    return this.error(Request.lcreate, (out) => {
      out.u32(fid);
      out.string(name);
      for (const field of [flags, mode, 0]) out.u32(field);
    });
  }

  open(fid: number, flags = 0): number {
    return this.error(Request.lopen, (out) => {
      out.u32(fid);
      out.u32(flags);
    });
  }

  read(fid: number, offset: number | bigint = 0, count = 4096): Uint8Array {
    const fields = this.fields(Request.read, (out) => {
      out.u32(fid);
      out.u64(offset);
      out.u32(count);
    });
    return fields.data(fields.u32());
  }

  write(fid: number, text: string, offset: number | bigint = 0): number {
    return this.error(Request.write, (out) => {
      out.u32(fid);
      out.u64(offset);
      out.u32(text.length);
      out.room(text.length).set(new TextEncoder().encode(text));
      out.keep(text.length);
    });
  }

  /** Names of a directory that is open, asked for `count` bytes at a time. */
  list(fid: number, count = 4096): string[] {
    const names: string[] = [];
    for (let offset = 0n; ; ) {
      const fields = this.fields(Request.readdir, (out) => {
        out.u32(fid);
        out.u64(offset);
        out.u32(count);
      });
      if (fields.u32() === 0) return names;
      while (fields.left > 0) {
        fields.data(13);
        offset = fields.u64();
        fields.u8();
        names.push(fields.string());
      }
    }
  }

  clunk(fid: number): void {
    this.fields(Request.clunk, (out) => out.u32(fid));
  }

  /** An error of a request that is a fid, a name, and numbers. */
  named(type: number, fid: number, name: string, ...numbers: number[]): number {
    return this.error(type, (out) => {
      out.u32(fid);
      out.string(name);
      for (const number of numbers) out.u32(number);
    });
  }
}

function walking(from: number, to: number, names: readonly string[]) {
  return (out: MessageWriter): void => {
    out.u32(from);
    out.u32(to);
    out.u16(names.length);
    for (const name of names) out.string(name);
  };
}
