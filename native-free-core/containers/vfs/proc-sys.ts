// /proc/sys: what sysctl(8) and programs read of the kernel's settings, and the host's name, which they set.
// Owns the tree and its values, which are what the kernel keeps to.
// Never writable where a write would change nothing.

import type { ProcSource } from './proc-source.ts';
import type { ProviderFs } from './provider.ts';
import type { Inode } from './types.ts';

export function systemTree(fs: ProviderFs, { machine }: ProcSource): Inode {
  const directory = (fixed: Record<string, Inode>): Inode => fs.directory({ fixed });
  return directory({
    kernel: directory({
      ostype: fs.text('Linux\n'),
      osrelease: fs.text(`${machine.release}\n`),
      version: fs.text(`${machine.version}\n`),
      hostname: fs.file({
        read: () => `${machine.hostname()}\n`,
        write: (text) => machine.setHostname(text.replace(/\n.*$/s, '')),
      }),
      domainname: fs.text('(none)\n'),
      pid_max: fs.text('4194304\n'),
      'threads-max': fs.text('65536\n'),
      cap_last_cap: fs.text('40\n'),
      ngroups_max: fs.text('65536\n'),
      overflowuid: fs.text('65534\n'),
      overflowgid: fs.text('65534\n'),
      core_pattern: fs.text('core\n'),
      randomize_va_space: fs.text('2\n'),
      shmmax: fs.text('18446744073692774399\n'),
      shmall: fs.text('18446744073692774399\n'),
      shmmni: fs.text('4096\n'),
      sem: fs.text('32000\t1024000000\t500\t4096\n'),
      msgmax: fs.text('8192\n'),
      msgmnb: fs.text('16384\n'),
      msgmni: fs.text('4096\n'),
      core_uses_pid: fs.text('0\n'),
      perf_event_paranoid: fs.text('3\n'),
      unprivileged_userns_clone: fs.text('1\n'),
      tainted: fs.text('0\n'),
      seccomp: directory({
        actions_avail: fs.text('kill_process kill_thread trap errno trace log allow\n'),
      }),
      random: directory({
        boot_id: fs.text(`${machine.bootId}\n`),
        uuid: fs.file({ read: () => `${machine.uuid()}\n` }),
        entropy_avail: fs.text('256\n'),
        poolsize: fs.text('256\n'),
      }),
    }),
    vm: directory({
      overcommit_memory: fs.text('0\n'),
      overcommit_ratio: fs.text('50\n'),
      nr_hugepages: fs.text('0\n'),
      max_map_count: fs.text('65530\n'),
      mmap_min_addr: fs.text('65536\n'),
      swappiness: fs.text('60\n'),
    }),
    fs: directory({
      'file-max': fs.text('9223372036854775807\n'),
      nr_open: fs.text('1048576\n'),
      'pipe-max-size': fs.text('1048576\n'),
      protected_hardlinks: fs.text('1\n'),
      protected_symlinks: fs.text('1\n'),
      inotify: directory({
        max_queued_events: fs.text('16384\n'),
        max_user_watches: fs.text('65536\n'),
      }),
      mqueue: directory({
        queues_max: fs.text('256\n'),
      }),
      'lease-break-time': fs.text('45\n'),
      'aio-max-nr': fs.text('0\n'),
      'aio-nr': fs.text('0\n'),
      suid_dumpable: fs.text('0\n'),
    }),
    net: directory({
      core: directory({
        somaxconn: fs.text('4096\n'),
        rmem_default: fs.text('212992\n'),
        rmem_max: fs.text('212992\n'),
        wmem_default: fs.text('212992\n'),
        wmem_max: fs.text('212992\n'),
      }),
      ipv4: directory({
        ip_forward: fs.text('0\n'),
        ip_local_port_range: fs.text('32768\t60999\n'),
        ip_unprivileged_port_start: fs.text('1024\n'),
        ping_group_range: fs.text('0\t2147483647\n'),
        tcp_fin_timeout: fs.text('60\n'),
        tcp_keepalive_time: fs.text('7200\n'),
        tcp_max_syn_backlog: fs.text('4096\n'),
        tcp_syncookies: fs.text('1\n'),
      }),
      ipv6: directory({
        bindv6only: fs.text('0\n'),
        conf: directory({
          all: directory({ disable_ipv6: fs.text('0\n'), forwarding: fs.text('0\n') }),
          default: directory({ disable_ipv6: fs.text('0\n'), forwarding: fs.text('0\n') }),
        }),
      }),
      unix: directory({ max_dgram_qlen: fs.text('10\n') }),
    }),
  });
}
