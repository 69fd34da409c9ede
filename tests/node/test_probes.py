"""When probes ask, what the answers add up to, and what a failed one says."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from pods import container

from netkube.node.handlers import HandlerFailed, Handlers, Target, http_url, resolve_port
from netkube.node.probes import ContainerProbes, ProbeSpec, Thresholds, parse_probes
from netkube.testing import eventually


@pytest.mark.parametrize(
    'verdict, success, failure, answers, changes',
    [
        (False, 1, 3, '+', [True]),
        (False, 2, 3, '+-++', [False, False, False, True]),
        (True, 1, 3, '--+---', [False, False, False, False, False, True]),
        (True, 1, 1, '-+', [True, True]),
        (None, 1, 2, '-+', [False, True]),
        (True, 1, 1, '+', [False]),
    ],
)
def test_thresholds_count_equal_answers_in_a_row(verdict, success, failure, answers, changes):
    thresholds = Thresholds(ProbeSpec('readiness', {}, 0, 1, 1, success, failure), verdict)
    assert [thresholds.add(answer == '+') for answer in answers] == changes


def test_numbers_that_are_not_given_are_kubernetes_defaults():
    [spec] = parse_probes({'livenessProbe': {'tcpSocket': {'port': 1}}})
    assert (spec.initial_delay, spec.period, spec.timeout, spec.success_threshold, spec.failure_threshold) == (
        0, 10, 1, 1, 3,
    )  # fmt: skip


def test_ports_by_name():
    one = container(ports=[{'name': 'web', 'containerPort': 8080}])
    assert [resolve_port(port, one) for port in (80, '80', 'web')] == [80, 80, 8080]
    with pytest.raises(HandlerFailed, match='couldn\'t find port: "no"'):
        resolve_port('no', one)


@pytest.mark.parametrize(
    'action, url',
    [
        ({'port': 80}, 'http://10.1.0.2:80/'),
        ({'port': 80, 'path': '/healthz?full=1'}, 'http://10.1.0.2:80/healthz?full=1'),
        ({'port': 443, 'path': 'x', 'scheme': 'HTTPS', 'host': 'example.org'}, 'https://example.org:443/x'),
    ],
)
def test_url(action, url):
    assert http_url(action, Target(container(), 'id', '10.1.0.2')) == url


# against real sockets, on the loopback interface of the tests' own machine


async def dial(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family)
    made.setblocking(False)
    return made


HANDLERS = Handlers(dial, None)  # type: ignore[arg-type]
TARGET = Target(container(), 'id', '127.0.0.1')


@asynccontextmanager
async def answering(*answers: bytes):
    """A server that gives these answers in turn, the last one for ever; its port, and the requests it got."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b'\r\n\r\n'))
        answer = answers[min(len(requests), len(answers)) - 1]
        if answer:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()


def http(status: int, **fields: str) -> bytes:
    lines = [f'HTTP/1.1 {status} X', *(f'{name}: {value}' for name, value in fields.items())]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


async def failure(handler, timeout: float = 1.0) -> str:
    with pytest.raises(HandlerFailed) as error:
        await HANDLERS.run(handler, TARGET, timeout)
    return str(error.value)


@pytest.mark.parametrize('status', [200, 204, 304, 399])
async def test_http_success(status):
    async with answering(http(status)) as (port, requests):
        headers = [{'name': 'x-kangaroo', 'value': 'yes'}, {'name': 'Host', 'value': 'example.org'}]
        await HANDLERS.run({'httpGet': {'port': port, 'path': '/h', 'httpHeaders': headers}}, TARGET, 1)
    request = requests[0].decode()
    assert request.startswith('GET /h HTTP/1.1\r\nHost: example.org\r\nUser-Agent: kube-probe/1.37\r\n')
    assert 'X-Kangaroo: yes\r\n' in request


@pytest.mark.parametrize('status', [400, 404, 500, 503])
async def test_http_failure(status):
    async with answering(http(status)) as (port, _):
        assert await failure({'httpGet': {'port': port}}) == f'HTTP probe failed with statuscode: {status}'


async def test_redirects_are_followed_on_the_same_host():
    async with answering(http(302, Location='/there'), http(200)) as (port, requests):
        await HANDLERS.run({'httpGet': {'port': port}}, TARGET, 1)
        assert requests[1].startswith(b'GET /there ')
    async with answering(http(302, Location='http://example.org/')) as (port, requests):
        await HANDLERS.run({'httpGet': {'port': port}}, TARGET, 1)
        assert len(requests) == 1


async def test_what_failed_is_said_in_gos_words():
    async with answering(b'') as (port, _):
        pass
    url = f'http://127.0.0.1:{port}/'
    refused = f'dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await failure({'httpGet': {'port': port}}) == f'Get "{url}": {refused}'
    assert await failure({'tcpSocket': {'port': port}}) == refused
    async with answering(b'') as (port, _):
        url = f'http://127.0.0.1:{port}/'
        message = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        assert await failure({'httpGet': {'port': port}}, 0.05) == f'Get "{url}": {message}'
    async with answering(b'SSH-2.0-x\r\n') as (port, _):
        assert 'malformed HTTP response "SSH-2.0-x"' in await failure({'httpGet': {'port': port}})


class Clock:
    def __init__(self) -> None:
        self.began = asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() - self.began


@asynccontextmanager
async def probing(one, **known):
    """The probes of a container that has just started; ``reports`` are the failures that were said."""
    probes, reports = None, []

    def report(kind, message):
        reports.append(kind)

    probes = ContainerProbes(
        Target(one, 'id', '127.0.0.1'), HANDLERS, running_for=Clock(), changed=lambda: None, report=report, **known
    )
    task = asyncio.create_task(probes.run())
    try:
        yield probes, reports
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pod_becomes_ready_long_before_a_period_is_over():
    async with answering(http(503), http(503), http(200)) as (port, _):
        probe = {'httpGet': {'port': port}, 'periodSeconds': 1000}
        async with probing(container(readinessProbe=probe)) as (probes, reports):
            assert not probes.ready
            await eventually(lambda: probes.ready)
            assert reports == []


async def test_what_was_known_of_a_container_still_counts():
    async with probing(container(readinessProbe={'tcpSocket': {'port': 1}}), was_ready=True) as (probes, _):
        assert probes.ready


async def test_liveness_waits_for_startup():
    async with answering(http(200)) as (port, _):
        startup = {'httpGet': {'port': port}, 'periodSeconds': 0.05}
        liveness = {'tcpSocket': {'port': 1}, 'periodSeconds': 0.02, 'failureThreshold': 2}
        async with probing(container(startupProbe=startup, livenessProbe=liveness)) as (probes, reports):
            assert not probes.started
            await eventually(lambda: probes.failed == 'liveness')
            assert probes.started and reports == ['liveness', 'liveness']


async def test_a_startup_probe_that_fails_too_often_ends_the_container():
    startup = {'tcpSocket': {'port': 1}, 'periodSeconds': 0.02, 'failureThreshold': 3}
    async with probing(container(startupProbe=startup)) as (probes, reports):
        await eventually(lambda: probes.failed == 'startup')
        assert not probes.started and reports == ['startup'] * 3


async def test_no_answer_is_asked_for_before_the_initial_delay():
    async with answering(http(200)) as (port, requests):
        probe = {'httpGet': {'port': port}, 'initialDelaySeconds': 0.3}
        async with probing(container(readinessProbe=probe)) as (probes, _):
            clock = Clock()
            await eventually(lambda: probes.ready)
            assert clock() >= 0.28 and len(requests) == 1
