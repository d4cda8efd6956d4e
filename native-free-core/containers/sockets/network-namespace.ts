// A network namespace (network_namespaces(7)): the names, ports, interfaces and routes that its sockets share.
// Owns them, and the list of its sockets. No socket of one namespace is found from another.
// Never carries out a call.

import type { PacketPort } from '../../devices/packets.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Namespace } from '../kernel/namespace.ts';
import { FIRST_USER_NAMESPACE, type UserNamespace } from '../kernel/user-namespace.ts';
import type { UserMemory } from '../vfs/types.ts';
import type { Lease } from './ethernet/dhcp-client.ts';
import { EthernetLink } from './ethernet/ethernet-link.ts';
import { type Interface, InternetStack } from './inet/stack.ts';
import { interfaceIoctl } from './interface-ioctl.ts';
import type { Socket } from './socket.ts';
import type { UnixSocket } from './unix/unix-socket.ts';

export class NetworkNamespace extends Namespace {
  readonly type = 'net';
  readonly owner: UserNamespace;
  readonly kernel: Kernel;
  readonly sockets = new Set<Socket>();
  /** Abstract names of AF_UNIX sockets. */
  readonly abstractNames = new Map<string, UnixSocket>();
  readonly stack: InternetStack;
  private lastAutobind = 0;

  /** One that a program makes has an owner, and its loopback is down at first. */
  constructor(kernel: Kernel, owner?: UserNamespace) {
    super();
    this.owner = owner ?? FIRST_USER_NAMESPACE;
    this.kernel = kernel;
    this.stack = new InternetStack(kernel);
    this.stack.loopback.isUp = owner === undefined;
  }

  /** A number for a name that nobody chose. */
  nextAutobind(): number {
    this.lastAutobind = (this.lastAutobind + 1) & 0xfffff;
    return this.lastAutobind;
  }

  /** Plugs a card in, as eth0 and so on; to be polled from then on. */
  plug(port: PacketPort, hardware: Uint8Array, hostName: string, onLease: (lease: Lease | null) => void): EthernetLink {
    const { kernel, stack } = this;
    const number = stack.uplinks.length;
    const options = { kernel, stack, port, hardware, hostName, onLease, index: 2 + number, name: `eth${number}` };
    const link = new EthernetLink(options);
    stack.uplinks.push(link);
    return link;
  }

  interfaceNamed(name: string): Interface | undefined {
    return this.stack.interfaces.find((each) => each.name === name);
  }

  /** What ioctl asks of interfaces, through any socket. Throws ENOTTY for what it does not know. */
  ioctl(request: number, argument: number, memory: UserMemory): number {
    return interfaceIoctl(this.stack, request, argument, memory);
  }
}
