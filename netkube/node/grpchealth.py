"""One unary call of ``grpc.health.v1.Health/Check``, over HTTP/2: what a gRPC probe asks.

Source: kubernetes pkg/probe/grpc, github.com/grpc/grpc doc/{PROTOCOL-HTTP2,health-checking,statuscodes}.md. Only this
module knows HTTP/2, and it is imported by the first Pod that has such a probe.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import msgspec

READ = 64 * 1024
SERVING = 1
STATUSES = ('UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN')  # of a HealthCheckResponse
CODES = (
    'OK', 'Canceled', 'Unknown', 'InvalidArgument', 'DeadlineExceeded', 'NotFound', 'AlreadyExists', 'PermissionDenied',
    'ResourceExhausted', 'FailedPrecondition', 'Aborted', 'OutOfRange', 'Unimplemented', 'Internal', 'Unavailable',
    'DataLoss', 'Unauthenticated',
)  # fmt: skip
UNIMPLEMENTED = CODES.index('Unimplemented')
UNKNOWN, UNAVAILABLE = CODES.index('Unknown'), CODES.index('Unavailable')


class GrpcStatus(Exception):
    """The call ended with a status that is not OK."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f'rpc error: code = {CODES[code]} desc = {message}')
        self.code, self.message = code, message


class Answer(msgspec.Struct):
    """What has come so far."""

    fields: dict[str, str] = {}
    body: bytearray = msgspec.field(default_factory=bytearray)
    ended: bool = False


async def check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, scheme: str, service: str
) -> int:
    """The ServingStatus that the server answers for ``service``. GrpcStatus when it answers with an error."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding='utf-8'))
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, request_fields(authority, scheme))
    connection.send_data(stream, framed(health_check_request(service)), end_stream=True)
    answer = Answer()
    try:
        while not answer.ended:
            writer.write(connection.data_to_send())
            received = await reader.read(READ)
            if not received:
                raise GrpcStatus(UNAVAILABLE, 'connection error: desc = "error reading server preface: EOF"')
            for event in connection.receive_data(received):
                take(connection, answer, event)
    except h2.exceptions.ProtocolError as error:
        raise GrpcStatus(UNAVAILABLE, f'connection error: desc = "{error}"') from None
    return serving_status(answer)


def request_fields(authority: str, scheme: str) -> list[tuple[str, str]]:
    return [
        (':method', 'POST'), (':scheme', scheme), (':path', '/grpc.health.v1.Health/Check'), (':authority', authority),
        ('content-type', 'application/grpc'), ('user-agent', 'kube-probe/1.37'), ('te', 'trailers'),
    ]  # fmt: skip


def take(connection: h2.connection.H2Connection, answer: Answer, event: h2.events.Event) -> None:
    match event:
        case h2.events.ResponseReceived() | h2.events.TrailersReceived():
            answer.fields |= {str(name): str(value) for name, value in event.headers or ()}
        case h2.events.DataReceived():
            answer.body += event.data or b''
            connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        case h2.events.StreamEnded() | h2.events.StreamReset() | h2.events.ConnectionTerminated():
            answer.ended = True


def serving_status(answer: Answer) -> int:
    code = answer.fields.get('grpc-status', '')
    if not code.isdecimal():
        status = answer.fields.get(':status', '')
        raise GrpcStatus(*_of_http(status))
    if int(code) != 0:
        known = int(code) if int(code) < len(CODES) else UNKNOWN
        raise GrpcStatus(known, unquote(answer.fields.get('grpc-message', '')))
    return parse_status(bytes(answer.body[5:]))  # behind the prefix of its one message


def _of_http(status: str) -> tuple[int, str]:
    """A server that is no gRPC server: the status that its HTTP status stands for."""
    if status == '404':
        return UNIMPLEMENTED, 'unexpected HTTP status code received from server: 404 (Not Found)'
    return UNKNOWN, f'unexpected HTTP status code received from server: {status or "none"}'


def framed(message: bytes) -> bytes:
    """Not compressed; the length in four bytes."""
    return b'\0' + len(message).to_bytes(4, 'big') + message


def health_check_request(service: str) -> bytes:
    """``string service = 1``; an empty string is not written."""
    name = service.encode()
    return b'\x0a' + varint(len(name)) + name if name else b''


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def parse_status(message: bytes) -> int:
    """``ServingStatus status = 1``; an absent field is 0. Other fields, of which the message has none, end it."""
    if message[:1] != b'\x08':
        return 0
    number = shift = 0
    for byte in message[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number
