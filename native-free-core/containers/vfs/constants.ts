// Numbers of the Linux x86-64 ABI that concern files: modes, open flags, *at flags, poll masks, limits.
// Owns the constants under their ABI names and the few predicates on a mode.
// Never holds anything that is not in Linux's uapi headers.

// Types and bits of st_mode: include/uapi/linux/stat.h.
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
export const S_IXGRP = 0o0010;
/** All bits that chmod can change. */
export const PERMISSION_BITS = 0o7777;

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;
export const isDevice = (mode: number): boolean => (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;

/** d_type of getdents64 for a mode: DT_* are the type bits of st_mode shifted (include/linux/fs_types.h). */
export const directoryEntryType = (mode: number): number => (mode & S_IFMT) >> 12;

// Open flags: include/uapi/asm-generic/fcntl.h, which x86-64 uses unchanged.
export const O_ACCMODE = 3;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_DIRECT = 0o40000;
export const O_LARGEFILE = 0o100000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_SYNC = 0o4010000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20200000;

// Flags of the *at calls: include/uapi/linux/fcntl.h.
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EACCESS = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;

// openat2: include/uapi/linux/openat2.h.
export const RESOLVE_NO_XDEV = 1;
export const RESOLVE_NO_MAGICLINKS = 2;
export const RESOLVE_NO_SYMLINKS = 4;
export const RESOLVE_BENEATH = 8;
export const RESOLVE_IN_ROOT = 16;
export const RESOLVE_CACHED = 32;

// renameat2: include/uapi/linux/fs.h.
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

// setxattr: include/uapi/linux/xattr.h.
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

// access: include/uapi/asm-generic/fcntl.h and unistd.h.
export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;

// Poll masks: include/uapi/asm-generic/poll.h; epoll uses the same numbers.
export const POLLIN = 0x001;
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLRDNORM = 0x040;
export const POLLWRNORM = 0x100;

// Mount flags as the file systems and the path walk need them: include/uapi/linux/mount.h.
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MS_MOVE = 8192;
export const MS_REC = 16384;

/** Longest name of one file, in bytes (include/uapi/linux/limits.h). */
export const NAME_MAX = 255;
/** Longest path that a call takes, in bytes with the terminating zero. */
export const PATH_MAX = 4096;
/** Symbolic links followed in one walk before ELOOP: MAXSYMLINKS, path_resolution(7). */
export const SYMLINK_FOLLOW_MAX = 40;
/** Longest extended attribute name and value: include/uapi/linux/limits.h. */
export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65536;

// Capabilities that files need: include/uapi/linux/capability.h.
export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_SYS_ADMIN = 21;
export const CAP_MKNOD = 27;
export const CAP_SETFCAP = 31;

/** st_rdev and st_dev as Linux packs them into 64 bits (new_encode_dev, for minors up to 20 bits). */
export const makeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | ((major & 0xfff) << 8)) + (minor >>> 8) * 0x100000;
export const deviceMajor = (device: number): number => (device >>> 8) & 0xfff;
export const deviceMinor = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00);
