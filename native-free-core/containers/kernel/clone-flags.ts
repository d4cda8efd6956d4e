// The flags of clone, unshare and setns (include/uapi/linux/sched.h).
// Owns their numbers under their ABI names.
// Never says what they do.

export const Clone = {
  vm: 0x100,
  fs: 0x200,
  files: 0x400,
  sighand: 0x800,
  pidfd: 0x1000,
  ptrace: 0x2000,
  vfork: 0x4000,
  parent: 0x8000,
  thread: 0x10000,
  newNs: 0x20000,
  sysvsem: 0x40000,
  setTls: 0x80000,
  parentSetTid: 0x100000,
  childClearTid: 0x200000,
  untraced: 0x800000,
  childSetTid: 0x1000000,
  newCgroup: 0x2000000,
  newUts: 0x4000000,
  newIpc: 0x8000000,
  newUser: 0x10000000,
  newPid: 0x20000000,
  newNet: 0x40000000,
  io: 0x80000000,
} as const;

/** CLONE_NEW*. */
export const CLONE_NAMESPACES =
  Clone.newNs | Clone.newCgroup | Clone.newUts | Clone.newIpc | Clone.newUser | Clone.newPid | Clone.newNet;
