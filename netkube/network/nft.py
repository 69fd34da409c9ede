"""nftables: text in, one transaction.

libnftables does the work in this process (no fork of ``nft``). Its calls go through ctypes' ``CDLL``, which
releases the GIL: a big transaction in a worker thread does not stop the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from netkube.network import nftdump
from netkube.network.netfilter import Netfilter


class NftError(Exception):
    """A command was refused; the message is libnftables' own. Nothing of its text has been applied."""


class Library(Protocol):
    """What is used of ``nftables.Nftables``."""

    def cmd(self, cmdline: str) -> tuple[int, str, str]: ...

    def set_json_output(self, val: bool) -> bool: ...

    def set_numeric_proto_output(self, val: bool) -> bool: ...

    def set_handle_output(self, val: bool) -> bool: ...


class Nft:
    """One libnftables context, which belongs to the thread, and so to the network namespace, that first uses it.

    The context holds a netlink socket, and a socket stays in the namespace in which it was opened. It is opened
    by the first command, not by the constructor: make an ``Nft`` anywhere, and use it in one
    ``NamespaceThread`` only. A context is not safe for two threads at a time.
    """

    def __init__(self, open_library: Callable[[], Library] | None = None) -> None:
        self._open_library = open_library or load_library
        self._library: Library | None = None
        self._netfilter: Netfilter | None = None

    def run(self, text: str) -> None:
        """Apply all commands of ``text`` (the language of ``nft -f``) as one transaction; NftError: none of it."""
        self._command(text)

    def list_json(self, text: str) -> dict[str, Any]:
        """What a ``list`` command prints, in libnftables-json(5): ``{'nftables': [object, ...]}``.

        Protocols are numbers (names would need /etc/protocols, which a minimal machine does not have).
        """
        library = self._opened()
        library.set_json_output(True)
        try:
            output = self._command(text)
        finally:
            library.set_json_output(False)
        return json.loads(output) if output else {'nftables': []}

    def list_text(self, text: str) -> str:
        """What a ``list`` command prints for people, each object with its handle: ``... # handle 7``."""
        library = self._opened()
        library.set_handle_output(True)
        try:
            return self._command(text)
        finally:
            library.set_handle_output(False)

    def close(self) -> None:
        """Let go of the context's socket, and so of tables with the flag ``owner``."""
        self._library = None

    def generation(self) -> int:
        """A number that grows by one with each transaction of anybody in the namespace that changed something."""
        return nftdump.generation(self._socket())

    def elements(self, family: str, table: str, name: str) -> Iterator[nftdump.Element]:
        """See ``nftdump.dump_elements``."""
        return nftdump.dump_elements(self._socket(), family, table, name)

    def digest(self, family: str, table: str) -> bytes:
        """See ``nftdump.digest``."""
        return nftdump.digest(self._socket(), family, table)

    def _socket(self) -> Netfilter:
        if self._netfilter is None:  # kept: the kernel takes milliseconds to close such a socket
            self._netfilter = Netfilter()
        return self._netfilter

    def _opened(self) -> Library:
        if self._library is None:
            self._library = self._open_library()
        return self._library

    def _command(self, text: str) -> str:
        code, output, error = self._opened().cmd(text)
        if code != 0:
            raise NftError(error.strip() or f'libnftables failed with code {code}')
        return output


def load_library() -> Library:
    """A new context; its netlink socket is in the calling thread's network namespace."""
    try:
        from nftables import Nftables

        library: Library = Nftables()
    except OSError as error:  # dlopen: the shared library is not installed
        raise NftError(f'{error}; the package libnftables1 provides it') from error
    library.set_numeric_proto_output(True)
    return library
