"""Defaults of a NetworkPolicy (pkg/apis/networking/v1/defaults.go)."""

from __future__ import annotations

from netkube.api.meta import Object


def default_networkpolicy(policy: Object) -> None:
    """Ingress always, Egress when there are egress rules; and TCP."""
    spec = policy.setdefault('spec', {})
    spec.setdefault('podSelector', {})  # no omitempty
    if not spec.get('policyTypes'):
        spec['policyTypes'] = ['Ingress', 'Egress'] if spec.get('egress') else ['Ingress']
    for rule in (*(spec.get('ingress') or ()), *(spec.get('egress') or ())):
        for port in rule.get('ports') or ():
            port.setdefault('protocol', 'TCP')
