"""Validation of security contexts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.names import is_user_id
from netkube.api.validation.values import descending_path

_PROFILES = ('Localhost', 'RuntimeDefault', 'Unconfined')
_SYSCTL_SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
_SYSCTL = rf'({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}'
_POD_ENUMS = {
    'fsGroupChangePolicy': ('Always', 'OnRootMismatch'),
    'supplementalGroupsPolicy': ('Merge', 'Strict'),
    'seLinuxChangePolicy': ('MountOption', 'Recursive'),
}


def validate_pod_security_context(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    context = spec.get('securityContext') or {}
    yield from _validate_ids(context, ('fsGroup', 'runAsUser', 'runAsGroup'), path)
    for index, group in enumerate(context.get('supplementalGroups') or ()):
        yield from invalid_each(f'{path}.supplementalGroups[{index}]', group, is_user_id(group))
    if spec.get('shareProcessNamespace') and spec.get('hostPID'):
        message = 'ShareProcessNamespace and HostPID cannot both be enabled'
        yield invalid(f'{path}.shareProcessNamespace', True, message)
    yield from _validate_sysctls(context.get('sysctls') or [], f'{path}.sysctls')
    yield from _validate_profiles(context, path)
    for name, values in _POD_ENUMS.items():
        if name in context and context[name] not in values:
            yield not_supported(f'{path}.{name}', context[name], values)


def _validate_ids(context: dict[str, Any], names: tuple[str, ...], path: str) -> Iterator[FieldError]:
    for name in names:
        if name in context:
            yield from invalid_each(f'{path}.{name}', context[name], is_user_id(context[name]))


def _validate_sysctls(sysctls: list[dict[str, Any]], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        here, name = f'{path}[{index}].name', sysctl.get('name', '')
        if not name:
            yield required(here)
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name):
            yield invalid(here, name, f'must have at most 253 characters and match regex ^{_SYSCTL}$')
        elif name in seen:
            yield duplicate(here, name)
        seen.add(name)


def _validate_profiles(context: dict[str, Any], path: str) -> Iterator[FieldError]:
    if 'seccompProfile' in context:
        yield from _validate_seccomp(context['seccompProfile'], f'{path}.seccompProfile')
    if 'appArmorProfile' in context:
        yield from _validate_app_armor(context['appArmorProfile'], f'{path}.appArmorProfile')


def _validate_profile_type(profile: dict[str, Any], name: str, path: str) -> Iterator[FieldError]:
    if not profile.get('type'):
        yield required(f'{path}.type', f'type is required when {name} is set')
    elif profile['type'] not in _PROFILES:
        yield not_supported(f'{path}.type', profile['type'], _PROFILES)


def _validate_seccomp(profile: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from _validate_profile_type(profile, 'seccompProfile', path)
    local = profile.get('localhostProfile')
    if profile.get('type') == 'Localhost':
        if local is None:
            yield required(f'{path}.localhostProfile', 'must be set when seccomp type is Localhost')
        else:
            yield from descending_path(local, f'{path}.localhostProfile')
    elif local is not None:
        shown = {'Type': profile.get('type', ''), 'LocalhostProfile': local}
        yield invalid(f'{path}.localhostProfile', shown, 'can only be set when seccomp type is Localhost')


def _validate_app_armor(profile: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from _validate_profile_type(profile, 'appArmorProfile', path)
    local = profile.get('localhostProfile')
    if profile.get('type') == 'Localhost':
        if local is None or not local.strip():
            yield required(f'{path}.localhostProfile', 'must be set when AppArmor type is Localhost')
        elif local != local.strip():
            yield invalid(f'{path}.localhostProfile', local, 'must not be padded with whitespace')
    elif local is not None and profile.get('type') in _PROFILES:
        yield invalid(f'{path}.localhostProfile', local, 'can only be set when AppArmor type is Localhost')


def validate_security_context(context: dict[str, Any], host_users: bool, path: str) -> Iterator[FieldError]:
    """A container's; ``host_users`` is whether the Pod shares the machine's user namespace."""
    yield from _validate_ids(context, ('runAsUser', 'runAsGroup'), path)
    mount = context.get('procMount')
    if mount is not None and mount not in ('Default', 'Unmasked'):
        yield not_supported(f'{path}.procMount', mount, ('Default', 'Unmasked'))
    if mount == 'Unmasked' and host_users:
        yield invalid(f'{path}.procMount', mount, '`hostUsers` must be false to use `Unmasked`')
    yield from _validate_profiles(context, path)
    yield from _validate_escalation(context, path)


def _validate_escalation(context: dict[str, Any], path: str) -> Iterator[FieldError]:
    if context.get('allowPrivilegeEscalation') is not False:
        return
    cannot = 'cannot set `allowPrivilegeEscalation` to false and'
    if context.get('privileged'):
        yield invalid(path, context, f'{cannot} `privileged` to true')
    if 'CAP_SYS_ADMIN' in ((context.get('capabilities') or {}).get('add') or ()):
        yield invalid(path, context, f'{cannot} `capabilities.Add` CAP_SYS_ADMIN')


def validate_host_users(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    if spec.get('hostUsers') is not False:
        return
    for key, shown in (('hostNetwork', 'hostNetwork'), ('hostPID', 'HostPID'), ('hostIPC', 'HostIPC')):
        if spec.get(key):
            yield forbidden(f'{path}.{shown}', 'when `pod.Spec.HostUsers` is false')
