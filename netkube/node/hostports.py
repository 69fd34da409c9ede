"""``ports[].hostPort``: a port of the Node that leads to a Pod, as with the CNI plugin portmap.

A table of its own, ``inet netkube-hostports``, which is there while some Pod has such a port::

    prerouting, output  -> ports
        an address of the Node, but loopback
        map @at4, @at6      hostIP . protocol . port -> Pod . containerPort
        map @any4, @any6             protocol . port -> Pod . containerPort
    postrouting             masquerade what a Pod sent to itself (@itself4, @itself6)

It comes after the Services' table: a port of a Service or a node port stays theirs. The source is kept, as with
Services. Pods that come and go are elements, named after their Pod.

All but ``host_ports`` is blocking, and for the thread that lives in the Node's namespace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address

import msgspec

from netkube.api.families import Address
from netkube.api.meta import Object
from netkube.network.conntrack import Conntrack
from netkube.network.nft import Nft, NftError
from netkube.node.isolation import is_on_node_network
from netkube.node.podspec import init_containers, is_sidecar, main_containers

NAME = 'netkube-hostports'
TABLE = f'inet {NAME}'
SETS = {
    f'{name}{family}': f'{kind} {name}{family} {{ type {types.replace("*", f"ipv{family}_addr")}; }}'
    for family in '46'
    for name, kind, types in (
        ('at', 'map', '* . inet_proto . inet_service : * . inet_service'),
        ('any', 'map', 'inet_proto . inet_service : * . inet_service'),
        ('itself', 'set', '* . *'),
    )
}
RULES = f"""
table {TABLE} {{
  {chr(10).join(SETS.values())}
  chain ports {{
    meta l4proto != {{ tcp, udp, sctp }} return
    fib daddr type != local return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    dnat ip to ip daddr . meta l4proto . th dport map @at4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
    meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat + 1; jump ports; }}
  chain output {{ type nat hook output priority -99; jump ports; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat + 1
    ct status dnat ip saddr . ip daddr @itself4 masquerade
    ct status dnat ip6 saddr . ip6 daddr @itself6 masquerade
  }}
}}
"""
REMOVAL = f'add table {TABLE}\ndelete table {TABLE}'  # delete alone fails where there is none


Place = tuple[str, str]
"""Map and key."""


class Target(msgspec.Struct, frozen=True):
    """Where a port leads; ``name`` is the Pod's."""

    name: str
    pod: str
    port: int


Elements = dict[Place, Target | None]
"""What the maps and sets hold: those of a set have no target."""


class HostPort(msgspec.Struct, frozen=True):
    address: str  # of the Node; '' is each of its family
    protocol: str
    port: int
    pod: str
    container_port: int

    @property
    def family(self) -> str:
        return '6' if ':' in self.pod else '4'

    @property
    def place(self) -> Place:
        port = f'{self.protocol} . {self.port}'
        return (f'at{self.family}', f'{self.address} . {port}') if self.address else (f'any{self.family}', port)


def host_ports(pod: Object, addresses: Iterable[Address]) -> tuple[HostPort, ...]:
    """Those of its containers and sidecars, for each of its addresses that fits hostIP. None on the Node's network."""
    if is_on_node_network(pod):
        return ()
    sidecars = (container for container in init_containers(pod) if is_sidecar(container))
    asked = [
        port for one in (*main_containers(pod), *sidecars) for port in one.get('ports') or () if port.get('hostPort')
    ]
    if not asked:
        return ()
    return tuple(dict.fromkeys(port for address in addresses for one in asked for port in _of_family(one, address)))


def _of_family(port: Object, pod: Address) -> Iterator[HostPort]:
    wanted = ip_address(port['hostIP']) if port.get('hostIP') else None
    if wanted is not None and (wanted.version != pod.version or wanted.is_loopback):
        return
    at = '' if wanted is None or wanted.is_unspecified else str(wanted)
    yield HostPort(at, port.get('protocol', 'TCP').lower(), port['hostPort'], str(pod), port['containerPort'])


class HostPorts:
    """``node_addresses`` are where UDP flows are looked for that have become stale."""

    def __init__(self, node_addresses: Collection[Address]) -> None:
        self._node_addresses = [str(address) for address in node_addresses]
        self._nft, self._conntrack = Nft(), Conntrack()
        self._by_pod: dict[str, tuple[str, tuple[HostPort, ...]]] = {}  # uid -> name, ports
        self._elements: Elements = {}
        self._generation = -1
        self._shape: tuple[object, ...] = ()

    def adopt(self, uid: str, name: str, ports: tuple[HostPort, ...]) -> None:
        """What a Pod of an earlier life has; ``reset`` follows."""
        if ports:
            self._by_pod[uid] = name, ports

    def reset(self) -> None:
        """The kernel has these, and nothing else."""
        self._elements = self._wanted()
        if self._elements:
            self._nft.run(f'{REMOVAL}\n{RULES}\n{render_change({}, self._elements)}')
            self._learn()
        elif self._nft.digest('inet', NAME):
            self._nft.run(REMOVAL)

    def put(self, uid: str, name: str, ports: tuple[HostPort, ...]) -> None:
        """A port that another Pod has is this one's when the other has gone. NftError: then it has none."""
        if not ports or self._by_pod.get(uid, ('', ()))[1] == ports:
            return
        self._by_pod[uid] = name, ports
        try:
            self._change()
        except NftError:
            del self._by_pod[uid]
            raise

    def remove(self, uid: str) -> None:
        if self._by_pod.pop(uid, None):
            self._change()

    def guard(self) -> None:
        """What somebody else did to our table is undone."""
        if self._by_pod and not self._is_as_we_made_it():
            self.reset()

    def _change(self) -> None:
        old, new = self._elements, self._wanted()
        if old and new and self._is_as_we_made_it():
            self._nft.run(render_change(old, new))
            self._elements = new
            self._learn()
        else:
            self.reset()
        self._forget_flows([key for key in {**old, **new} if old.get(key) != new.get(key)])

    def _wanted(self) -> Elements:
        elements: Elements = {}
        for name, ports in self._by_pod.values():
            for port in ports:
                elements.setdefault(port.place, Target(name, port.pod, port.container_port))
                elements[f'itself{port.family}', f'{port.pod} . {port.pod}'] = None
        return elements

    def _is_as_we_made_it(self) -> bool:
        generation = self._nft.generation()
        if generation != self._generation and self._read_shape() != self._shape:
            return False
        self._generation = generation
        return True

    def _learn(self) -> None:
        self._generation, self._shape = self._nft.generation(), self._read_shape()

    def _read_shape(self) -> tuple[object, ...]:
        elements = (frozenset((e.key, e.value) for e in self._nft.elements('inet', NAME, one)) for one in SETS)
        return (self._nft.digest('inet', NAME), *elements)

    def _forget_flows(self, places: Iterable[Place]) -> None:
        """UDP that went elsewhere until now is placed anew."""
        stale: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for where, key in places:
            *address, protocol, port = key.split(' . ')
            if protocol != 'udp' or where.startswith('itself'):
                continue
            target = self._elements.get((where, key))
            for node in address or self._node_addresses:
                if (':' in node) == where.endswith('6'):
                    stale[node, int(port)] = {(target.pod, target.port)} if target else set()
        if stale:
            self._conntrack.delete_udp_flows(stale)


def render_change(old: Elements, new: Elements) -> str:
    """One transaction."""
    lines = [
        f'delete element {TABLE} {where} {{ {key} }}'
        for (where, key), to in old.items()
        if _differs(new, where, key, to)
    ]
    for (where, key), target in new.items():
        if _differs(old, where, key, target):
            value = f' comment "{target.name[:120]}" : {target.pod} . {target.port}' if target else ''
            lines.append(f'add element {TABLE} {where} {{ {key}{value} }}')
    return '\n'.join(lines)


def _differs(other: Elements, where: str, key: str, target: Target | None) -> bool:
    return (where, key) not in other or other[where, key] != target
