"""One real connection from a namespace, with the kernel's report of its way."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable

import msgspec

from netkube.diagnose.destination import Destination
from netkube.diagnose.finding import Finding, TraceError
from netkube.diagnose.path import RuleText, Way, follow
from netkube.network.namespaces import inside, opened
from netkube.network.nft import NftError
from netkube.network.nfttrace import Flow, Hop, Tracer, tracing

STEP = 'answer'
KINDS = {'tcp': socket.SOCK_STREAM, 'udp': socket.SOCK_DGRAM, 'sctp': socket.SOCK_STREAM}
DATAGRAM = b'\n'
DATAGRAMS = {53: bytes.fromhex('6e6b 0100 0001 0000 0000 0000 00 0002 0001')}  # DNS answers but questions: '. NS'
WORDS = {
    errno.ECONNREFUSED: 'refused',
    errno.EHOSTUNREACH: 'host unreachable',
    errno.ENETUNREACH: 'network unreachable',
    errno.ECONNRESET: 'reset',
    errno.EACCES: 'prohibited',
    errno.EPERM: 'not permitted',
}
ANSWER_BYTES = 4096


class Attempt(msgspec.Struct, frozen=True):
    """``outcome`` is 'connected', 'answered' or 'sent' (UDP), 'dropped', 'timed out', or the kernel's refusal;
    ``status`` is an HTTP answer's first line, ``fault`` what went wrong after connecting."""

    flow: Flow
    way: Way
    outcome: str
    milliseconds: float
    rule: str = ''
    status: str = ''
    fault: str = ''

    @property
    def connected(self) -> bool:
        return self.outcome in ('connected', 'answered')


def attempt(node: str, pod: str, address: str, destination: Destination, timeout: float) -> Attempt:
    """From namespace ``pod`` to the address, watched in namespace ``node``. Seconds; TraceError."""
    with _open_socket(pod, address, destination) as client, opened(node) as namespace, inside(namespace):
        source, source_port = client.getsockname()[:2]
        flow = Flow(destination.protocol, source, source_port, address, destination.port)
        try:
            with tracing(flow) as tracer:
                tried = _watch(client, flow, tracer, timeout)
        except NftError as error:
            raise TraceError(f'the kernel cannot trace packets: {error}') from error
        if tried.outcome != 'connected':
            return tried
        status, fault = _request(client, destination, timeout)
        return msgspec.structs.replace(tried, status=status, fault=fault)


def _watch(client: socket.socket, flow: Flow, tracer: Tracer, timeout: float) -> Attempt:
    hops: list[Hop] = []

    def way() -> Way:
        hops.extend(tracer.hops())
        return follow(flow, hops)

    def is_dropped() -> bool:
        """Nothing more can come. A rule that rejects sends something, which may need a moment."""
        cut = way().cut
        return cut is not None and not RuleText(tracer.rule(cut)).rejects

    started = time.monotonic()
    outcome = _connect(client, flow, tracer.fileno(), is_dropped, timeout)
    milliseconds = (time.monotonic() - started) * 1000
    end = way()
    return Attempt(flow, end, outcome, milliseconds, tracer.rule(end.cut) if end.cut else '')


def _open_socket(pod: str, address: str, destination: Destination) -> socket.socket:
    """Bound to the source address that the kernel would choose, so that the flow is known before its first packet."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    protocol = socket.IPPROTO_SCTP if destination.protocol == 'sctp' else 0
    with opened(pod) as namespace, inside(namespace):
        try:
            client = socket.socket(family, KINDS[destination.protocol], protocol)
        except OSError as error:
            raise TraceError(f'this kernel has no {destination.protocol}: {error.strerror}') from error
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, destination.port))
                source = probe.getsockname()[0]
            client.bind((source, 0))
        except OSError as error:
            client.close()
            raise TraceError(f'the Pod has no route to {address}: {error.strerror}') from error
    client.setblocking(False)
    return client


def _connect(client: socket.socket, flow: Flow, reports: int, is_dropped: Callable[[], bool], timeout: float) -> str:
    """Until the kernel knows the outcome, or has reported that the packet was thrown away."""
    code = client.connect_ex((flow.destination, flow.destination_port))
    if flow.protocol == 'udp' and code == 0:
        client.send(DATAGRAMS.get(flow.destination_port, DATAGRAM))
    elif code not in (0, errno.EINPROGRESS):
        return _word(code)
    waiting = select.POLLIN if flow.protocol == 'udp' else select.POLLOUT
    poll = select.poll()
    poll.register(client, waiting)
    poll.register(reports, select.POLLIN)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        ready = dict(poll.poll(left * 1000))
        if client.fileno() in ready:
            return _outcome(client, flow)
        if ready and is_dropped():
            return 'dropped'
    return 'sent' if flow.protocol == 'udp' else 'timed out'


def _outcome(client: socket.socket, flow: Flow) -> str:
    if code := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return _word(code)
    if flow.protocol != 'udp':
        return 'connected'
    try:
        client.recv(ANSWER_BYTES)
    except OSError as error:
        return _word(error.errno or 0)
    return 'answered'


def _word(code: int) -> str:
    return WORDS.get(code, os.strerror(code))


def _request(client: socket.socket, destination: Destination, timeout: float) -> tuple[str, str]:
    """(status line, fault) of one GET; ('', '') for a destination that is no URL."""
    if destination.scheme not in ('http', 'https'):
        return '', ''
    client.settimeout(timeout)
    try:
        stream = _encrypted(client, destination.host) if destination.scheme == 'https' else client
        host = destination.place if destination.port not in (80, 443) else destination.host
        lines = (f'GET {destination.path} HTTP/1.1', f'Host: {host}', 'User-Agent: netkube-trace', 'Connection: close')
        stream.sendall(''.join(f'{line}\r\n' for line in (*lines, '')).encode())
        answer = b''
        while b'\n' not in answer and len(answer) < ANSWER_BYTES and (data := stream.recv(ANSWER_BYTES)):
            answer += data
    except TimeoutError:
        return '', f'no answer to the request within {timeout:g} s'
    except OSError as error:  # ssl.SSLError is one
        return '', f'{destination.scheme}: {error.strerror or error}'
    line = answer.split(b'\n')[0].decode(errors='replace').strip()
    if not line.startswith('HTTP/'):
        return '', f'the answer is not HTTP: {line[:60]!r}' if line else 'the connection was closed without an answer'
    return line, ''


def _encrypted(client: socket.socket, host: str) -> socket.socket:
    """Whether the certificate is to be trusted is not what is asked here."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(client, server_hostname=host)


def find_answer(tried: Attempt, listens: bool) -> Finding:
    """``listens``: a process was found at the other end; it is all there is to judge a datagram by."""
    facts = {'outcome': tried.outcome, 'milliseconds': round(tried.milliseconds, 2), 'status': tried.status}
    if tried.outcome == 'sent':
        text = 'sent, and neither answer nor refusal came back; a datagram is not acknowledged'
        delivered = listens and tried.way.cut is None
        advice = '' if delivered else 'the datagram was sent, and nothing came back'
        return Finding(STEP, delivered, text, (), advice, facts)
    if not tried.connected:
        return Finding(STEP, False, _not_connected(tried), (), _explain(tried), facts)
    text = f'{tried.outcome} in {tried.milliseconds:.1f} ms'
    if tried.fault:
        return Finding(STEP, False, f'{text}, but {tried.fault}', (), f'it connects, but {tried.fault}', facts)
    return Finding(STEP, True, f'{text}; {tried.status}' if tried.status else text, facts=facts)


def _not_connected(tried: Attempt) -> str:
    if tried.outcome == 'dropped':
        return 'no answer will come: the packet was dropped'
    by = ''
    if tried.outcome == 'refused' and tried.way.seen:
        by = ' by the Node' if tried.way.cut else ' by the other end'
    return f'{tried.outcome}{by} after {tried.milliseconds:.1f} ms'


def _explain(tried: Attempt) -> str:
    if tried.outcome == 'timed out':
        whose = f'{tried.way.left.destination} sends no answer' if tried.way.left else 'there is no answer'
        return f'{whose}: something there or on the way drops it'
    return f'the connection was {tried.outcome}' if tried.outcome in ('refused', 'reset') else tried.outcome
