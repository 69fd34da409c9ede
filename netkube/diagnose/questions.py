"""Questions to a nameserver, asked from within a network namespace."""

from __future__ import annotations

import socket
import time

from netkube.diagnose.names import Answer

PORT = 53
PATIENCE = 2.0  # seconds for one question: netkube's own resolver gives its upstreams 4, others answer in less


class Nameservers:
    """``namespace`` is a name under /run/netns."""

    def __init__(self, namespace: str, patience: float = PATIENCE) -> None:
        self._namespace, self._patience = namespace, patience

    def ask(self, nameserver: str, name: str, type: str) -> Answer:
        import dns.exception
        import dns.message
        import dns.rdtypes.ANY.CNAME
        import dns.rdtypes.IN.A
        import dns.rdtypes.IN.AAAA  # noqa: F401 - not in the time that the question took

        started = time.monotonic()
        try:
            outcome, addresses, aliases = self._ask(nameserver, name, type)
        except (dns.exception.DNSException, UnicodeError) as error:
            outcome, addresses, aliases = f'not a DNS name or answer ({error})', (), ()
        except TimeoutError:
            outcome, addresses, aliases = 'timed out', (), ()
        except ConnectionRefusedError:
            outcome, addresses, aliases = 'refused', (), ()
        except OSError:
            outcome, addresses, aliases = 'unreachable', (), ()
        return Answer(name, type, nameserver, outcome, addresses, aliases, (time.monotonic() - started) * 1000)

    def _ask(self, nameserver: str, name: str, type: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rdatatype

        query = dns.message.make_query(f'{name}.', type)
        reply = self._exchange(nameserver, query, socket.SOCK_DGRAM)
        if reply.flags & dns.flags.TC:
            reply = self._exchange(nameserver, query, socket.SOCK_STREAM)
        chain = [(rrset, rdata) for rrset in reply.answer for rdata in rrset]
        aliases = tuple(str(rdata.target).rstrip('.') for rrset, rdata in chain if rrset.rdtype == dns.rdatatype.CNAME)
        addresses = tuple(rdata.address for rrset, rdata in chain if rrset.rdtype == dns.rdatatype.from_text(type))
        return dns.rcode.to_text(reply.rcode()), addresses, aliases

    def _exchange(self, nameserver: str, query, kind: socket.SocketKind):  # noqa: ANN001, ANN202 - dnspython is imported late
        import dns.message

        from netkube.network.namespaces import socket_in

        family = socket.AF_INET6 if ':' in nameserver else socket.AF_INET
        wire = query.to_wire()
        with socket_in(self._namespace, family, kind) as sock:
            sock.settimeout(self._patience)
            sock.connect((nameserver, PORT))
            if kind == socket.SOCK_STREAM:
                sock.sendall(len(wire).to_bytes(2, 'big') + wire)
                stream = sock.makefile('rb')
                return dns.message.from_wire(stream.read(int.from_bytes(stream.read(2), 'big')))
            sock.send(wire)
            while True:
                reply = dns.message.from_wire(sock.recv(65535), ignore_trailing=True)
                if query.is_response(reply):
                    return reply
