// What programs ask of the system and of their own thread: names, sizes, random bytes, TLS, futexes, prctl.
// Owns their arguments.
// Never keeps state: tasks and the kernel do.

import { Seg, segBaseAddress } from '../../cpu/state.ts';
import { errno } from '../errno.ts';
import { SecureBit } from '../kernel/credentials.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { seccompMode } from '../kernel/seccomp.ts';
import { type Task, TIMER_SLACK } from '../kernel/task.ts';
import { HIGHEST } from '../memory/regions.ts';
import { timespecAt, viewOf } from './arguments.ts';
import { setSeccomp } from './seccomp.ts';
import { kernelTime } from './time.ts';

/** personality(2): what it answers without a change, and the one flag that is kept (addresses are as the program asks either way). */
const PERSONALITY_ASKED = 0xffff_ffff;
const ADDR_NO_RANDOMIZE = 0x40000;
const UTSNAME_FIELD = 65;

const text = (value: string, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < Math.min(value.length, length - 1); at++) bytes[at] = value.charCodeAt(at);
  return bytes;
};

const uname: SystemCall = (task, address) => {
  const { hostName, domainName } = task.namespaces.uts;
  const fields = ['Linux', hostName, task.kernel.release, '#1 SMP PREEMPT Trivisor', 'x86_64', domainName];
  fields.forEach((field, index) => {
    task.space.write(address + index * UTSNAME_FIELD, text(field, UTSNAME_FIELD));
  });
  return 0;
};

const sysinfo: SystemCall = (task, address) => {
  const { kernel } = task;
  const bytes = new Uint8Array(112);
  const view = viewOf(bytes);
  view.setBigInt64(0, BigInt(Math.floor(kernel.now() / 1e9)), true);
  kernel.loadAverage.at(kernel.now(), kernel.countReady).forEach((load, at) => {
    view.setBigInt64(8 + at * 8, BigInt(Math.round(load * 65536)), true);
  });
  view.setBigInt64(32, BigInt(kernel.memoryTotal), true);
  view.setBigInt64(40, BigInt(kernel.memoryFree), true);
  view.setUint16(80, kernel.tasks.size, true);
  view.setUint32(104, 1, true);
  task.space.write(address, bytes);
  return 0;
};

const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;
const ARCH_CET_STATUS = 0x3001;

const archPrctl: SystemCall = (task, code, address) => {
  const { system } = task.kernel.cpu;
  switch (code) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (address < 0 || address >= HIGHEST) throw errno('EPERM');
      system.set64(segBaseAddress(code === ARCH_SET_FS ? Seg.fs : Seg.gs), BigInt(address));
      return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
      task.space.writeBig(address, system.get64(segBaseAddress(code === ARCH_GET_FS ? Seg.fs : Seg.gs)));
      return 0;
    case ARCH_CET_STATUS:
      throw errno('EINVAL');
    default:
      throw errno('EINVAL');
  }
};

const FUTEX_CLOCK_REALTIME = 256;
const FUTEX_PRIVATE = 128;
const Futex = { wait: 0, wake: 1, requeue: 3, cmpRequeue: 4, wakeOp: 5, waitBitset: 9, wakeBitset: 10 } as const;
const ANY = 0xffffffff;

/** FUTEX_WAKE_OP: changes the second word, and wakes who waits for it where its old value compares. */
function wakeOp(task: Task, address: number, count: number, other: number, otherCount: number, code: number): number {
  const operation = (code >>> 28) & 7;
  const compare = (code >>> 24) & 15;
  let operand = ((code >>> 12) << 20) >> 20;
  const against = (code << 20) >> 20;
  if (code & 0x80000000) operand = 1 << (operand & 31);
  const old = task.space.readI32(other);
  const values = [operand, old + operand, old | operand, old & ~operand, old ^ operand];
  if (operation >= values.length || compare > 5) throw errno('ENOSYS');
  task.space.writeU32(other, values[operation]);
  const { futexes } = task.kernel;
  let woken = futexes.wake(task, address, count, ANY);
  const holds = [old === against, old !== against, old < against, old <= against, old > against, old >= against];
  if (holds[compare]) woken += futexes.wake(task, other, otherCount, ANY);
  return woken;
}

const futex: SystemCall = (task, address, operation, value, timeout, other, third) => {
  const { futexes } = task.kernel;
  const wall = (operation & FUTEX_CLOCK_REALTIME) !== 0;
  const command = operation & ~(FUTEX_CLOCK_REALTIME | FUTEX_PRIVATE);
  const count = value | 0;
  switch (command) {
    case Futex.wait: {
      const deadline = timeout === 0 ? Infinity : task.kernel.now() + timespecAt(task, timeout);
      return futexes.wait(task, address, value >>> 0, ANY, deadline);
    }
    case Futex.waitBitset: {
      const deadline = timeout === 0 ? Infinity : kernelTime(task, wall ? 0 : 1, timespecAt(task, timeout));
      return futexes.wait(task, address, value >>> 0, third >>> 0, deadline);
    }
    case Futex.wake:
      return futexes.wake(task, address, count, ANY);
    case Futex.wakeBitset:
      if (third >>> 0 === 0) throw errno('EINVAL');
      return futexes.wake(task, address, count, third >>> 0);
    case Futex.cmpRequeue:
      if (task.space.readU32(address) !== third >>> 0) throw errno('EAGAIN');
      return futexes.requeue(task, address, count, other, timeout | 0);
    case Futex.requeue:
      return futexes.requeue(task, address, count, other, timeout | 0);
    case Futex.wakeOp:
      return wakeOp(task, address, count, other, timeout | 0, third | 0);
    default:
      return task.kernel.notImplemented(`futex: operation ${command}`);
  }
};

const CAP_SETPCAP = 8;

const Pr = {
  setPdeathsig: 1,
  getPdeathsig: 2,
  getDumpable: 3,
  setDumpable: 4,
  getKeepcaps: 7,
  setKeepcaps: 8,
  setName: 15,
  getName: 16,
  getSeccomp: 21,
  setSeccomp: 22,
  capbsetRead: 23,
  capbsetDrop: 24,
  getTsc: 25,
  getSecurebits: 27,
  setSecurebits: 28,
  setTimerslack: 29,
  getTimerslack: 30,
  setChildSubreaper: 36,
  getChildSubreaper: 37,
  setNoNewPrivs: 38,
  getNoNewPrivs: 39,
  getTidAddress: 40,
  setThpDisable: 41,
  getThpDisable: 42,
  capAmbient: 47,
  setVma: 0x53564d41,
} as const;

const PR_TSC_ENABLE = 1;
const CapAmbient = { isSet: 1, raise: 2, lower: 3, clearAll: 4 } as const;
/** Every SECBIT_*, each with its lock one bit above. */
const SECUREBITS_ALL = 0xff;
const SECUREBITS_LOCKS = 0xaa;

function setSecurebits(task: Task, bits: number): number {
  const { credentials } = task;
  const before = credentials.securebits | (task.keepCapabilities ? SecureBit.keepCaps : 0);
  if (bits & ~SECUREBITS_ALL) throw errno('EPERM');
  const locked = (before & SECUREBITS_LOCKS) >> 1;
  if ((before ^ bits) & locked || before & SECUREBITS_LOCKS & ~bits) throw errno('EPERM');
  if (!credentials.capableIn(credentials.namespace, CAP_SETPCAP)) throw errno('EPERM');
  task.keepCapabilities = (bits & SecureBit.keepCaps) !== 0;
  task.credentials = credentials.with({ securebits: bits & ~SecureBit.keepCaps });
  return 0;
}

/** PR_CAP_AMBIENT. */
function ambient(task: Task, how: number, capability: number): number {
  const { credentials } = task;
  if (how === CapAmbient.clearAll) {
    if (capability !== 0) throw errno('EINVAL');
    task.credentials = credentials.with({ ambient: 0n });
    return 0;
  }
  if (capability < 0 || capability > 40) throw errno('EINVAL');
  const bit = 1n << BigInt(capability);
  switch (how) {
    case CapAmbient.isSet:
      return credentials.ambient & bit ? 1 : 0;
    case CapAmbient.raise:
      if (
        (credentials.permitted & credentials.inheritable & bit) === 0n ||
        credentials.securebits & SecureBit.noAmbientRaise
      )
        throw errno('EPERM');
      task.credentials = credentials.with({ ambient: credentials.ambient | bit });
      return 0;
    case CapAmbient.lower:
      task.credentials = credentials.with({ ambient: credentials.ambient & ~bit });
      return 0;
    default:
      throw errno('EINVAL');
  }
}

const prctl: SystemCall = (task, option, a, b) => {
  switch (option) {
    case Pr.setPdeathsig:
      if (a < 0 || a > 64) throw errno('EINVAL');
      task.deathSignal = a;
      return 0;
    case Pr.getPdeathsig:
      task.space.writeU32(a, task.deathSignal);
      return 0;
    case Pr.getDumpable:
      return task.process.dumpable;
    case Pr.setDumpable:
      if (a !== 0 && a !== 1) throw errno('EINVAL');
      task.process.dumpable = a;
      return 0;
    case Pr.getKeepcaps:
      return task.keepCapabilities ? 1 : 0;
    case Pr.setKeepcaps:
      if (a !== 0 && a !== 1) throw errno('EINVAL');
      task.keepCapabilities = a === 1;
      return 0;
    case Pr.setName: {
      let name = '';
      for (let at = a; name.length < 15; at++) {
        const byte = task.space.readU8(at);
        if (byte === 0) break;
        name += String.fromCharCode(byte);
      }
      task.name = name;
      return 0;
    }
    case Pr.getName:
      task.space.write(a, text(task.name, 16));
      return 0;
    case Pr.getSeccomp:
      return seccompMode(task);
    case Pr.setSeccomp:
      return setSeccomp(task, a, b);
    case Pr.capbsetRead:
      if (a < 0 || a > 40) throw errno('EINVAL');
      return (task.credentials.bounding >> BigInt(a)) & 1n ? 1 : 0;
    case Pr.capbsetDrop:
      if (a < 0 || a > 40) throw errno('EINVAL');
      if (!task.credentials.capableIn(task.credentials.namespace, CAP_SETPCAP)) throw errno('EPERM');
      task.credentials = task.credentials.with({ bounding: task.credentials.bounding & ~(1n << BigInt(a)) });
      return 0;
    case Pr.getSecurebits:
      return task.credentials.securebits | (task.keepCapabilities ? SecureBit.keepCaps : 0);
    case Pr.setSecurebits:
      return setSecurebits(task, a);
    case Pr.setTimerslack:
      task.timerSlack = a > 0 ? a : TIMER_SLACK;
      return 0;
    case Pr.getTimerslack:
      return task.timerSlack;
    case Pr.capAmbient:
      return ambient(task, a, b);
    case Pr.getTidAddress:
      task.space.writeI64(a, task.clearTid);
      return 0;
    case Pr.getTsc:
      task.space.writeU32(a, PR_TSC_ENABLE);
      return 0;
    case Pr.setThpDisable:
      // There are no huge pages to keep away from.
      return 0;
    case Pr.setChildSubreaper:
      task.process.isSubreaper = a !== 0;
      return 0;
    case Pr.getChildSubreaper:
      task.space.writeU32(a, task.process.isSubreaper ? 1 : 0);
      return 0;
    case Pr.setNoNewPrivs:
      if (a !== 1 || b !== 0) throw errno('EINVAL');
      task.noNewPrivileges = true;
      return 0;
    case Pr.getNoNewPrivs:
      return task.noNewPrivileges ? 1 : 0;
    case Pr.getThpDisable:
      return 0;
    case Pr.setVma:
      // A name for anonymous memory, which is for whoever looks at it from outside.
      throw errno('EINVAL');
    default:
      task.kernel.notImplemented(`prctl: option ${option}`);
      throw errno('EINVAL');
  }
};

const CAP_SYS_ADMIN = 21;

const GRND_FLAGS = 7;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const RANDOM_CHUNK = 65536;

const getrandom: SystemCall = (task, address, length, flags) => {
  const both = GRND_RANDOM | GRND_INSECURE;
  if (flags & ~GRND_FLAGS || (flags & both) === both || length < 0) throw errno('EINVAL');
  const most = Math.min(length, 33554431);
  for (let done = 0; done < most; done += RANDOM_CHUNK) {
    const bytes = new Uint8Array(Math.min(RANDOM_CHUNK, most - done));
    task.kernel.host.randomness(bytes);
    task.space.write(address + done, bytes);
  }
  return most;
};

const refused: SystemCall = () => {
  throw errno('EPERM');
};

export const systemCalls: Record<string, SystemCall> = {
  uname,
  sysinfo,
  arch_prctl: archPrctl,
  futex,
  prctl,
  getrandom,
  getcpu: (task, cpuAt, nodeAt) => {
    if (cpuAt !== 0) task.space.writeU32(cpuAt, 0);
    if (nodeAt !== 0) task.space.writeU32(nodeAt, 0);
    return 0;
  },
  personality: ({ process }, persona) => {
    const before = process.personality;
    if (persona >>> 0 === PERSONALITY_ASKED) return before;
    if ((persona & ~ADDR_NO_RANDOMIZE) !== 0) throw errno('EINVAL');
    process.personality = persona;
    return before;
  },
  sethostname: (task, address, length) => {
    if (!task.credentials.capableIn(task.namespaces.uts.owner, CAP_SYS_ADMIN)) throw errno('EPERM');
    if (length < 0 || length > 64) throw errno('EINVAL');
    task.namespaces.uts.hostName = String.fromCharCode(...task.space.bytes(address, length));
    return 0;
  },
  setdomainname: (task, address, length) => {
    if (!task.credentials.capableIn(task.namespaces.uts.owner, CAP_SYS_ADMIN)) throw errno('EPERM');
    if (length < 0 || length > 64) throw errno('EINVAL');
    task.namespaces.uts.domainName = String.fromCharCode(...task.space.bytes(address, length));
    return 0;
  },
  // Restartable sequences: programs go on without them (rseq(2) is optional by its design).
  rseq: (task) => task.kernel.notImplemented('rseq'),
  // What only concerns a machine is nobody's in a guest.
  ...Object.fromEntries(
    ['acct', 'iopl', 'ioperm', 'quotactl', 'reboot', 'swapoff', 'swapon', 'vhangup'].map((name) => [name, refused]),
  ),
  ptrace: () => {
    throw errno('EPERM');
  },
  syslog: () => {
    throw errno('EPERM');
  },
};
