"""Validation of how a container is restarted and stopped: restartPolicy, its rules, stopSignal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, not_supported, required, too_many

_POLICIES = ('Always', 'Never', 'OnFailure')
_ACTIONS = ('Restart', 'RestartAllContainers')
_OPERATORS = ('In', 'NotIn')
_MAX_RULES, _MAX_CODES = 20, 255
_REALTIME = (
    'SIGRTMIN', *(f'SIGRTMIN+{n}' for n in range(1, 16)),
    *(f'SIGRTMAX-{n}' for n in range(14, 0, -1)), 'SIGRTMAX',
)  # fmt: skip
_SIGNALS = {
    'windows': ('SIGKILL', 'SIGTERM'),
    'linux': (
        'SIGABRT', 'SIGALRM', 'SIGBUS', 'SIGCHLD', 'SIGCLD', 'SIGCONT', 'SIGFPE', 'SIGHUP', 'SIGILL', 'SIGINT', 'SIGIO',
        'SIGIOT', 'SIGKILL', 'SIGPIPE', 'SIGPOLL', 'SIGPROF', 'SIGPWR', 'SIGQUIT', *sorted(_REALTIME), 'SIGSEGV',
        'SIGSTKFLT', 'SIGSTOP', 'SIGSYS', 'SIGTERM', 'SIGTRAP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGURG', 'SIGUSR1',
        'SIGUSR2', 'SIGVTALRM', 'SIGWINCH', 'SIGXCPU', 'SIGXFSZ',
    ),
}  # fmt: skip


def validate_restart_policy(container: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Kubernetes' validateContainerRestartPolicy: who has rules has to say the policy, too."""
    policy, rules = container.get('restartPolicy'), container.get('restartPolicyRules') or ()
    if policy is None and rules:
        yield required(f'{path}.restartPolicy', 'must specify restartPolicy when restart rules are used')
    elif policy is not None and policy not in _POLICIES:
        yield not_supported(f'{path}.restartPolicy', policy, _POLICIES)
    if len(rules) > _MAX_RULES:
        yield too_many(f'{path}.restartPolicyRules', len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        yield from _validate_rule(rule, f'{path}.restartPolicyRules[{index}]')


def _validate_rule(rule: dict[str, Any], path: str) -> Iterator[FieldError]:
    if rule.get('action', '') not in _ACTIONS:
        yield not_supported(f'{path}.action', rule.get('action', ''), _ACTIONS)
    codes = rule.get('exitCodes')
    if codes is None:
        yield required(f'{path}.exitCodes', 'must be specified')
        return
    if codes.get('operator', '') not in _OPERATORS:
        yield not_supported(f'{path}.exitCodes.operator', codes.get('operator', ''), _OPERATORS)
    if len(codes.get('values') or ()) > _MAX_CODES:
        yield too_many(f'{path}.exitCodes.values', len(codes['values']), _MAX_CODES)


def validate_stop_signal(container: dict[str, Any], os: str, path: str) -> Iterator[FieldError]:
    """``os`` is the Pod's ``spec.os.name``."""
    signal = (container.get('lifecycle') or {}).get('stopSignal')
    if signal is None:
        return
    here = f'{path}.lifecycle.stopSignal'
    if not os:
        yield forbidden(here, 'may not be set for containers with empty `spec.os.name`')
    elif os in _SIGNALS and signal not in _SIGNALS[os]:
        yield not_supported(here, signal, _SIGNALS[os])
