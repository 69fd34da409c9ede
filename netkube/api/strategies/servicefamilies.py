"""Which IP families a Service has: what its ipFamilyPolicy, ipFamilies and clusterIPs mean in this cluster.

pkg/registry/core/service/storage/alloc.go (initIPFamilyFields). The words are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid
from netkube.api.validation.service import validate_ip_fields

SINGLE, PREFER, REQUIRE = 'SingleStack', 'PreferDualStack', 'RequireDualStack'
OTHER = {'IPv4': 'IPv6', 'IPv6': 'IPv4'}
_Spec = dict[str, Any]


def init_ip_families(spec: _Spec, before: _Spec | None, configured: Sequence[str]) -> list[FieldError]:
    """Fill in ipFamilyPolicy and ipFamilies, and drop what a downgrade releases.

    ``before`` is the spec that is replaced, if any; ``configured`` the cluster's families, the primary first.
    """
    if spec.get('type') == 'ExternalName' or _keeps_preference(spec, before):
        return []
    _default_policy(spec, before)
    errors = list(validate_ip_fields(spec))
    if errors:
        return errors
    errors = [*_released(spec, before), *_contradictions(spec), *_infer_families(spec, configured)]
    if errors:
        return errors
    if _is_headless_without_selector(spec):
        _add_families(spec, configured[0], wants_two=spec['ipFamilyPolicy'] != SINGLE)
        return []
    errors = list(_not_configured(spec, configured))
    if not errors:
        _add_families(spec, configured[0], wants_two=spec['ipFamilyPolicy'] != SINGLE and len(configured) == 2)
    return errors


def _keeps_preference(spec: _Spec, before: _Spec | None) -> bool:
    """A PreferDualStack Service is not changed because the cluster was; only because one of its fields is."""
    if before is None or spec.get('type') != before.get('type'):
        return False
    if spec.get('ipFamilyPolicy') != PREFER or before.get('ipFamilyPolicy') != PREFER:
        return False
    return all(_list(spec, key) == _list(before, key) for key in ('clusterIPs', 'ipFamilies'))


def _default_policy(spec: _Spec, before: _Spec | None) -> None:
    """One stack unless told otherwise; an update never changes between one and two without being told."""
    if spec.get('ipFamilyPolicy') is not None:
        return
    if before is not None and before.get('ipFamilyPolicy') is not None:
        spec['ipFamilyPolicy'] = before['ipFamilyPolicy']
    else:
        spec['ipFamilyPolicy'] = REQUIRE if _is_headless_without_selector(spec) else SINGLE


def _released(spec: _Spec, before: _Spec | None) -> Iterator[FieldError]:
    """Towards one stack the secondary address and family go by themselves; otherwise they may not just go."""
    if before is None:
        return
    for key, what in (('clusterIPs', 'cluster IP'), ('ipFamilies', 'IP family')):
        new, old = _list(spec, key), _list(before, key)
        if spec['ipFamilyPolicy'] == SINGLE:
            if new == old and len(new) > 1:
                spec[key] = new[:1]
        elif 0 < len(new) < len(old) and new[0] == old[0]:
            message = f"must be 'SingleStack' to release the secondary {what}"
            yield invalid('spec.ipFamilyPolicy', spec['ipFamilyPolicy'], message)


def _contradictions(spec: _Spec) -> Iterator[FieldError]:
    if spec['ipFamilyPolicy'] != SINGLE:
        return
    for key, what in (('clusterIPs', 'cluster IPs'), ('ipFamilies', 'IP families')):
        if len(_list(spec, key)) == 2:
            message = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            yield invalid('spec.ipFamilyPolicy', SINGLE, message)


def _infer_families(spec: _Spec, configured: Sequence[str]) -> Iterator[FieldError]:
    addresses, families = _list(spec, 'clusterIPs'), list(_list(spec, 'ipFamilies'))
    for index, address in enumerate(addresses):
        if address == 'None':
            return
        if index < len(families):
            continue
        family = 'IPv6' if ':' in address else 'IPv4'
        if family not in configured:
            yield invalid(f'spec.clusterIPs[{index}]', addresses, f'{family} is not configured on this cluster')
        else:
            families.append(family)
            spec['ipFamilies'] = families


def _not_configured(spec: _Spec, configured: Sequence[str]) -> Iterator[FieldError]:
    if spec['ipFamilyPolicy'] == REQUIRE and len(configured) < 2:
        yield invalid('spec.ipFamilyPolicy', REQUIRE, 'this cluster is not configured for dual-stack services')
    for index, family in enumerate(_list(spec, 'ipFamilies')):
        if family not in configured:
            yield invalid(f'spec.ipFamilies[{index}]', family, 'not configured on this cluster')


def _add_families(spec: _Spec, primary: str, *, wants_two: bool) -> None:
    families = list(_list(spec, 'ipFamilies')) or [primary]
    if wants_two and len(families) == 1:
        families.append(OTHER[families[0]])
    spec['ipFamilies'] = families


def _is_headless_without_selector(spec: _Spec) -> bool:
    return spec.get('clusterIP') == 'None' and not spec.get('selector')


def _list(spec: _Spec, key: str) -> list[str]:
    return spec.get(key) or []
