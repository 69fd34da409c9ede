"""What the machine must have: each check tries the real thing, in namespaces that go with the trial."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable

import msgspec

CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS = (
    0x00020000, 0x40000000, 0x20000000, 0x08000000, 0x04000000,
)  # fmt: skip
MS_REC, MS_PRIVATE = 16384, 1 << 18

RULES = """
table ip trial {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map endpoints { typeof ip daddr . ip protocol . th dport . numgen random mod 2 : ip daddr . th dport; }
  chain pick {
    meta l4proto { tcp, udp } dnat ip to ip daddr . ip protocol . th dport . numgen random mod 2 map @endpoints;
  }
  chain prerouting { type nat hook prerouting priority dstnat; ip daddr . meta l4proto . th dport vmap @services; }
  chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
  chain refuse { reject with tcp reset; }
}
"""
IPV6_RULES = """
table ip6 trial {
  chain postrouting { type nat hook postrouting priority srcnat; ip6 saddr fd00::/64 masquerade fully-random; }
}
"""


class Check(msgspec.Struct, frozen=True):
    """``trial`` raises, in a process of its own, when the machine lacks it; ``remedy`` says what to do then."""

    name: str
    trial: Callable[[], None]
    remedy: str
    required: bool = True


class Finding(msgspec.Struct, frozen=True):
    check: Check
    error: str

    @property
    def ok(self) -> bool:
        return not self.error


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = '') -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f'mount {kind}: {os.strerror(number)}')


def _root() -> None:
    if os.geteuid():
        raise PermissionError('not root')


def _python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever started us past pip's own check
        raise RuntimeError(f'this is Python {sys.version.split()[0]}')


def _namespaces() -> None:
    _unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)


def _links() -> None:
    _unshare(CLONE_NEWNET)
    from netkube.network.links import Peer, add_bridge, add_veth
    from netkube.network.namespaces import opened
    from netkube.network.netlink import Netlink

    with opened(None) as namespace:
        peer = Peer('trial-b', namespace, bytes.fromhex('0a5800000002'))
        Netlink().request(
            add_bridge('trial', bytes.fromhex('0a5800000000')), add_veth('trial-a', bytes.fromhex('0a5800000001'), peer)
        )


def _nftables() -> None:
    _unshare(CLONE_NEWNET)
    from netkube.network.nft import Nft

    Nft().run(RULES)


def _conntrack() -> None:
    if not os.path.exists('/proc/sys/net/netfilter/nf_conntrack_max'):
        raise FileNotFoundError('/proc/sys/net/netfilter/nf_conntrack_max is absent')


def _ipv6() -> None:
    """An address on one end of a veth, as a Pod has it."""
    _unshare(CLONE_NEWNET)
    from ipaddress import IPv6Address
    from socket import if_nametoindex

    from netkube.network import sysctl
    from netkube.network.addresses import ensure_address
    from netkube.network.links import Peer, add_veth
    from netkube.network.namespaces import opened
    from netkube.network.netlink import Netlink
    from netkube.network.nft import Nft

    sysctl.write('net/ipv6/conf/default/disable_ipv6', 0)
    sysctl.write('net/ipv6/conf/all/forwarding', 1)
    with opened(None) as namespace:
        peer = Peer('trial-b', namespace, bytes.fromhex('0a5800000002'))
        Netlink().request(add_veth('trial-a', bytes.fromhex('0a5800000001'), peer))
    Netlink().request(ensure_address(if_nametoindex('trial-a'), IPv6Address('fd00::1')))
    Nft().run(IPV6_RULES)


def _overlay() -> None:
    _unshare(CLONE_NEWNS)
    _mount('none', '/', 'none', MS_REC | MS_PRIVATE)
    with tempfile.TemporaryDirectory() as scratch:
        _mount('tmpfs', scratch, 'tmpfs')
        for name in ('upper', 'work', 'root'):
            os.mkdir(f'{scratch}/{name}')
        _mount(
            'overlay', f'{scratch}/root', 'overlay', 0, f'lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work'
        )
        ctypes.CDLL(None).umount2(f'{scratch}/root'.encode(), 2)
        ctypes.CDLL(None).umount2(scratch.encode(), 2)


def _cgroup() -> None:
    with open('/proc/self/mountinfo') as mounts:
        trees = [line.split()[4] for line in mounts if ' - cgroup2 ' in line]
    if not any(os.access(tree, os.W_OK) for tree in trees):
        raise FileNotFoundError('no writable cgroup v2 tree is mounted')


def _devices() -> None:
    """As the runtime does it, on a cgroup of our own."""
    from netkube.runtime import cgroup
    from netkube.runtime.devices import control_devices

    name = f'netkube-trial-{os.getpid()}'
    path = cgroup.create(cgroup.find_tree(), name)
    control = control_devices(name, path)
    control.leave()
    cgroup.remove(path)
    cgroup.remove(control.listed)
    if not control.kind:
        raise OSError('neither BPF programs on a cgroup v2 tree nor the devices controller of cgroup v1')


IPV6 = Check(
    'IPv6',
    _ipv6,
    'only clusters with --ip-family ipv6 or dual need it: boot without ipv6.disable=1, '
    'or use a kernel with CONFIG_IPV6 and CONFIG_NF_TABLES_IPV6',
    required=False,
)
CHECKS = (
    Check('root', _root, 'run it with sudo'),
    Check('python', _python, 'use Python 3.11 or newer'),
    Check(
        'namespaces',
        _namespaces,
        'use a kernel with CONFIG_NET_NS, PID_NS, IPC_NS and UTS_NS; in a container, give it --privileged',
    ),
    Check('bridge and veth', _links, 'modprobe bridge veth, or use a kernel with CONFIG_BRIDGE and CONFIG_VETH'),
    Check(
        'nftables',
        _nftables,
        'apt-get install libnftables1; modprobe nf_tables nft_nat nft_masq nft_reject nft_numgen, '
        'or use a kernel 5.6 or newer with CONFIG_NF_TABLES and CONFIG_NFT_NAT',
    ),
    Check('connection tracking', _conntrack, 'modprobe nf_conntrack'),
    IPV6,
    Check('overlay', _overlay, 'modprobe overlay, or use a kernel with CONFIG_OVERLAY_FS'),
    Check(
        'cgroup v2',
        _cgroup,
        'mount -t cgroup2 cgroup2 /sys/fs/cgroup; without it processes are tracked by their namespaces only',
        required=False,
    ),
    Check(
        'device filter',
        _devices,
        'use a kernel with CONFIG_CGROUP_BPF; without it an unprivileged container sees every mount as nodev, and of '
        '/dev nothing but null, zero, full, random, urandom, tty and terminals',
        required=False,
    ),
)


def run_check(check: Check) -> Finding:
    """Try it in a forked child, whose namespaces and mounts end with it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        error = ''
        try:
            check.trial()
        except Exception as caught:  # whatever the reason, it is this check's finding
            error = str(caught) or type(caught).__name__
        os.write(writer, error.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as answer:
        error = answer.read().decode()
    _, status = os.waitpid(pid, 0)
    return Finding(check, error or ('' if status == 0 else f'the trial ended with status {status}'))


def run_checks() -> list[Finding]:
    return [run_check(check) for check in CHECKS]
