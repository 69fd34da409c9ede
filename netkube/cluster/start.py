"""Starting a cluster: decide what it is called and addressed, then start its daemon and wait until it is ready."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from netkube.api import names
from netkube.api.families import Network, family_of
from netkube.cluster import preflight, processes
from netkube.cluster.addressing import (
    AddressPlan,
    AddressPlans,
    families_asked_for,
    free_plan,
    ip_family_of,
    parse_cidrs,
)
from netkube.cluster.config import (
    RUN_ROOT,
    STATE_ROOT,
    ClusterConfig,
    ConfigError,
    all_names,
    check_name,
    default_state_dir,
    load,
    merged,
)
from netkube.cluster.progress import FAILED, READY

FIRST_API_PORT = 6443
LAST_WORDS = 12  # lines of the log that a failed start shows
LOCK = 'lock'


def resolve(name: str, state_dir: str, wanted: dict[str, object]) -> ClusterConfig:
    """The cluster of that name with the options given, filled up with what is free; ConfigError when it cannot be."""
    check_name(name)
    state_dir = os.path.abspath(state_dir) if state_dir else default_state_dir(name)
    running = RUN_ROOT / name / 'state'
    if running.is_symlink() and os.readlink(running) != state_dir:
        elsewhere = os.readlink(running)
        raise ConfigError(
            f'cluster "{name}" runs with --state-dir {elsewhere}; stop it first: netkube --cluster {name} down'
        )
    for option, key in (('--pod-cidr', 'pod_cidr'), ('--service-cidr', 'service_cidr')):
        if text := wanted.get(key):
            wanted = {**wanted, key: ','.join(map(str, _cidrs(option, str(text))))}
    _check_hidden(wanted.get('hide') or ())  # type: ignore[arg-type]
    existing = load(name, state_dir)
    if existing is not None:
        return merged(existing, wanted)
    _check_state_dir(Path(state_dir))
    given = {key: value for key, value in wanted.items() if value is not None}
    config = ClusterConfig(name=name, state_dir=state_dir, **given)  # type: ignore[arg-type]
    if problems := names.is_dns_subdomain(config.domain):
        raise ConfigError(f'invalid --cluster-domain "{config.domain}": {problems[0]}')
    plans = choose_plans(config)
    return replace(
        config,
        ip_family=ip_family_of([plan.family for plan in plans]),
        pod_cidr=','.join(str(plan.pod_cidr) for plan in plans),
        service_cidr=','.join(str(plan.service_cidr) for plan in plans),
        api_port=config.api_port or free_port(FIRST_API_PORT),
    )


def _check_hidden(patterns: Iterable[str]) -> None:
    for pattern in patterns:
        if not pattern.startswith('/') or not pattern.strip('/'):
            raise ConfigError(f'invalid --hide "{pattern}": not an absolute path below /')


def _check_state_dir(folder: Path) -> None:
    """``down --purge`` removes the whole folder, so it must hold nothing of anybody else's."""
    if folder.exists() and (not folder.is_dir() or any(entry.name != LOCK for entry in folder.iterdir())):
        raise ConfigError(f'--state-dir {folder} is neither empty nor the state of a cluster; choose another')


def choose_plans(config: ClusterConfig) -> AddressPlans:
    """The addresses asked for, the rest from what neither the machine nor another cluster uses; ConfigError."""
    from netkube.cluster.machine import used_networks

    used = [*used_networks(), *_of_other_clusters(config.name)]
    given = {option: _cidrs(option, text) for option, text in _given(config).items()}
    try:
        families = families_asked_for(config.ip_family, given)
        plans = tuple(_choose_plan(family, given, used) for family in families)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for plan in plans:
        if taken := plan.overlaps(used):
            raise ConfigError(
                f'pod CIDR {plan.pod_cidr} or service CIDR {plan.service_cidr} overlaps {taken[0]}, which this machine '
                'or another cluster uses; choose others with --pod-cidr and --service-cidr'
            )
    return plans


def _choose_plan(family: str, given: dict[str, tuple[Network, ...]], used: list[Network]) -> AddressPlan:
    wanted = [next((n for n in networks if family_of(n) == family), None) for networks in given.values()]
    if all(wanted):
        pods, services = wanted
    else:
        own = free_plan([*used, *(network for network in wanted if network)], family)
        pods, services = wanted[0] or own.pod_cidr, wanted[1] or own.service_cidr
    assert pods and services
    return AddressPlan.of(pods, services)


def _given(config: ClusterConfig) -> dict[str, str]:
    return {'--pod-cidr': config.pod_cidr, '--service-cidr': config.service_cidr}


def _cidrs(option: str, text: str) -> tuple[Network, ...]:
    """ConfigError, naming the option, for what is no CIDR at all."""
    try:
        return parse_cidrs(text)
    except ValueError as error:
        example = '10.244.0.0/16, or 10.244.0.0/16,fd00:10:244::/56'
        raise ConfigError(f'invalid {option} "{text}": {error}; for example: {example}') from error


def _of_other_clusters(name: str) -> list[Network]:
    """What clusters that are known here have, running or not."""
    others = [load('', str(file.parent)) for file in STATE_ROOT.glob('*/cluster.json')]
    running = [load(each) for each in all_names()]
    found = {other.name: other for other in [*others, *running] if other is not None and other.name != name}
    return [network for other in found.values() for text in _given(other).values() for network in parse_cidrs(text)]


def free_port(first: int) -> int:
    """The first port from ``first`` on that nobody listens on at 127.0.0.1."""
    for port in range(first, first + 1000):
        if is_free(port):
            return port
    raise ConfigError(f'no port is free from {first} on; choose one with --api-port')


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
            probe.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def start(config: ClusterConfig, say: Callable[[str], None]) -> bool:
    """Start the daemon unless it runs: True when it was started, ConfigError when it does not get ready."""
    if not processes.find(config, processes.DAEMON) and not is_free(config.api_port):
        raise ConfigError(f'port {config.api_port} of 127.0.0.1 is in use; choose another one with --api-port')
    config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(config.state):
        if processes.find(config, processes.DAEMON):
            if load(config.name, config.state_dir) != config:
                down = f'netkube --cluster {config.name} down'
                raise ConfigError(f'cluster "{config.name}" runs with other options; stop it first: {down}')
            return False
        config.save()
        config.run_dir.mkdir(parents=True, exist_ok=True)
        link = config.run_dir / 'state'
        link.unlink(missing_ok=True)
        link.symlink_to(config.state_dir)
        failure = _launch(config, say)
    if failure:
        raise ConfigError(failure)
    return True


def _launch(config: ClusterConfig, say: Callable[[str], None]) -> str:
    """Wait until the daemon says that it is ready; what went wrong if it ends before."""
    reader, writer = os.pipe()
    log_from = config.log_file.stat().st_size if config.log_file.exists() else 0
    arguments = [str(config.file), '--progress-fd', str(writer)]
    processes.spawn(config, processes.DAEMON, 'netkube.cluster.daemon', arguments, pass_fds=[writer])
    os.close(writer)
    reason = ''
    with os.fdopen(reader) as lines:
        for line in map(str.strip, lines):
            if line == READY:
                return ''
            if line.startswith(FAILED):
                reason = line.removeprefix(FAILED)
            else:
                say(line)
    return _why_not(config, reason, log_from)


def _why_not(config: ClusterConfig, reason: str, log_from: int) -> str:
    """The doctor's words when it finds something, else the daemon's, else the log's last ones."""
    missing = [finding for finding in preflight.run_checks() if not finding.ok and _is_needed(finding.check, config)]
    if missing:
        return '\n'.join(f'{found.check.name}: {found.error}; remedy: {found.check.remedy}' for found in missing)
    if reason:
        return f'the cluster did not start: {reason} (more in {config.log_file})'
    with open(config.log_file, 'rb') as log:
        log.seek(log_from)
        words = log.read().decode(errors='replace').splitlines()[-LAST_WORDS:]
    return '\n'.join([f'the cluster did not start; the end of {config.log_file}:', *words])


def _is_needed(check: preflight.Check, config: ClusterConfig) -> bool:
    return check.required or (check is preflight.IPV6 and config.ip_family != 'ipv4')


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """One up or down of a cluster at a time."""
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
