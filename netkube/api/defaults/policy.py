"""Defaults of what says what others may do: PriorityClass, LimitRange, ResourceQuota, admission, certificates."""

from __future__ import annotations

from netkube.api.meta import Object

_CSR_USAGES = ['digital signature', 'key encipherment']


def default_priorityclass(priority_class: Object) -> None:
    priority_class.setdefault('preemptionPolicy', 'PreemptLowerPriority')


def default_ingress(ingress: Object) -> None:
    """Nothing of the spec; the address is the controller's."""
    ingress.setdefault('status', {}).setdefault('loadBalancer', {})


def default_ingressclass(ingress_class: Object) -> None:
    parameters = (ingress_class.get('spec') or {}).get('parameters')
    if parameters:
        parameters.setdefault('scope', 'Cluster')


def default_limitrange(limit_range: Object) -> None:
    """A default is what the limit is, a default request what the default or the minimum is."""
    for item in (limit_range.get('spec') or {}).get('limits') or ():
        if item.get('type') != 'Container':
            continue
        item.setdefault('default', {})
        item.setdefault('defaultRequest', {})
        for name, value in (item.get('max') or {}).items():
            item['default'].setdefault(name, value)
        for name, value in item['default'].items():
            item['defaultRequest'].setdefault(name, value)
        for name, value in (item.get('min') or {}).items():
            item['defaultRequest'].setdefault(name, value)
        for name in ('default', 'defaultRequest'):
            if not item[name]:
                del item[name]


def default_webhooks(configuration: Object) -> None:
    """Mutating and validating ones; the former also say whether they are called again."""
    for webhook in configuration.get('webhooks') or ():
        webhook.setdefault('failurePolicy', 'Fail')
        webhook.setdefault('matchPolicy', 'Equivalent')
        webhook.setdefault('namespaceSelector', {})
        webhook.setdefault('objectSelector', {})
        webhook.setdefault('timeoutSeconds', 10)
        if configuration['kind'].startswith('Mutating'):
            webhook.setdefault('reinvocationPolicy', 'Never')
        for rule in webhook.get('rules') or ():
            rule.setdefault('scope', '*')
        service = (webhook.get('clientConfig') or {}).get('service')
        if service:
            service.setdefault('port', 443)


def default_admission_policy(policy: Object) -> None:
    spec = policy.setdefault('spec', {})
    spec.setdefault('failurePolicy', 'Fail')
    constraints = spec.get('matchConstraints')
    if constraints:
        default_match(constraints)


def default_policy_binding(binding: Object) -> None:
    resources = (binding.get('spec') or {}).get('matchResources')
    if resources:
        default_match(resources)


def default_match(resources: Object) -> None:
    resources.setdefault('matchPolicy', 'Equivalent')
    resources.setdefault('namespaceSelector', {})
    resources.setdefault('objectSelector', {})
    for field in ('resourceRules', 'excludeResourceRules'):
        for rule in resources.get(field) or ():
            rule.setdefault('scope', '*')


def default_csr(request: Object) -> None:
    spec = request.setdefault('spec', {})
    if not spec.get('usages'):
        spec['usages'] = list(_CSR_USAGES)


def default_apiservice(service: Object) -> None:
    reference = (service.get('spec') or {}).get('service')
    if reference:
        reference.setdefault('port', 443)
