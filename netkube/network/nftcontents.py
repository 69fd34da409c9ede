"""What an nftables table holds, by netlink and without its meaning: which rules a chain has, which keys a set.

libnftables lists a big table in seconds; this takes milliseconds, and tells whether somebody has changed it.

Reference: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from netkube.network.netfilter import HEADER_SIZE, SUBSYSTEM_NFTABLES, Netfilter, message
from netkube.network.netlink import ATTRIBUTE, Message, parse_attributes, text

GET_RULE, GET_SET, GET_ELEMENT = 7, 10, 13
RULE_TABLE, RULE_CHAIN, RULE_HANDLE = 1, 2, 3
SET_TABLE, SET_NAME, SET_FLAGS = 1, 2, 3
ELEMENTS_TABLE, ELEMENTS_SET, ELEMENTS = 1, 2, 3
ELEMENT_KEY, DATA_VALUE = 1, 1
SET_ANONYMOUS = 1
NFPROTO_INET = 1


class NftContents:
    """The table ``inet NAME``. Belongs to the thread, and so to the namespace, that first uses it."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._netfilter: Netfilter | None = None

    def rules(self) -> dict[str, tuple[int, ...]]:
        """The handles of each chain's rules, in their order; a chain without rules is not in it."""
        found: dict[str, list[int]] = defaultdict(list)
        for rule in self._dump(_query(GET_RULE, text(RULE_TABLE, self._table))):
            if _name(rule[RULE_TABLE]) == self._table:
                found[_name(rule[RULE_CHAIN])].append(int.from_bytes(rule[RULE_HANDLE], 'big'))
        return {chain: tuple(handles) for chain, handles in found.items()}

    def sets(self) -> dict[str, set[bytes]]:
        """The keys in each named set or map, as the kernel has them: each part of a key is padded to four bytes.

        FileNotFoundError if one is deleted meanwhile.
        """
        found = [one for one in self._dump(_query(GET_SET, b'')) if _name(one[SET_TABLE]) == self._table]
        named = [one for one in found if not int.from_bytes(one.get(SET_FLAGS, b''), 'big') & SET_ANONYMOUS]
        return {name: set(self._keys(name)) for name in (_name(one[SET_NAME]) for one in named)}

    def _keys(self, name: str) -> Iterator[bytes]:
        which = text(ELEMENTS_TABLE, self._table) + text(ELEMENTS_SET, name)
        for part in self._dump(_query(GET_ELEMENT, which)):
            for element in _items(part.get(ELEMENTS, b'')):
                yield parse_attributes(parse_attributes(element)[ELEMENT_KEY])[DATA_VALUE]

    def _dump(self, query: Message) -> Iterator[dict[int, bytes]]:
        if self._netfilter is None:  # kept: the kernel takes milliseconds to close such a socket
            self._netfilter = Netfilter()
        return (parse_attributes(body[HEADER_SIZE:]) for body in self._netfilter.dump(query))


def _query(kind: int, attributes: bytes) -> Message:
    return message(SUBSYSTEM_NFTABLES, kind, NFPROTO_INET, attributes, 'list nftables')


def _items(data: bytes) -> Iterator[bytes]:
    """The payloads of a list, whose attributes all have the same type."""
    offset = 0
    while offset < len(data):
        length, _ = ATTRIBUTE.unpack_from(data, offset)
        yield data[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


def _name(data: bytes) -> str:
    return data.rstrip(b'\0').decode()
