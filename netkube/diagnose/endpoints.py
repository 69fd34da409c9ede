"""Which Pods a Service's selector finds, which of them are ready, and where its port ends in each. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from netkube.api.selectors import from_labels
from netkube.diagnose.destination import place
from netkube.diagnose.finding import Finding, listed, many
from netkube.diagnose.objects import Endpoint, Pod, Service, ServicePort

STEP = 'endpoints'
MOST = 8  # Pods that are told about one by one
CLOSE = 0.6  # of difflib's ratio: what counts as misspelt


class Backends(msgspec.Struct, frozen=True):
    """``pods`` are all of the Service's namespace; ``elsewhere`` are others that its selector would match."""

    service: Service
    port: ServicePort | None
    endpoints: tuple[Endpoint, ...] = ()
    pods: tuple[Pod, ...] = ()
    elsewhere: tuple[Pod, ...] = ()
    probes: dict[str, str] = {}
    """The last words of the readiness probes that failed, by Pod name."""

    @property
    def selected(self) -> list[Pod]:
        selector = from_labels(self.service.selector)
        return [pod for pod in self.pods if selector.matches(pod.labels)] if self.service.selector else []


def find_endpoints(backends: Backends) -> Finding:
    usable = [endpoint for endpoint in backends.endpoints if endpoint.ready and endpoint.port]
    draining = [e for e in backends.endpoints if e.serving and e.terminating and e.port]
    facts = {
        'selector': backends.service.selector,
        'endpoints': [msgspec.structs.asdict(endpoint) for endpoint in backends.endpoints],
        'pods': [{'name': pod.name, 'ready': pod.ready, 'why': _why(backends, pod)} for pod in backends.selected],
    }
    if not backends.service.selector:
        return _without_selector(backends, usable, facts)
    if not backends.selected:
        return _nothing_selected(backends, facts)
    details = tuple(_describe(backends, pod) for pod in backends.selected[:MOST])
    if usable:
        text = f'{len(usable)} of {many(len(backends.selected), "Pod")} ready'
        return Finding(STEP, True, text, details, facts=facts)
    if draining:
        text = f'only {many(len(draining), "terminating endpoint")} left, still serving'
        return Finding(STEP, True, text, details, facts=facts)
    if advice := _unmapped(backends):
        return Finding(STEP, False, advice, details, advice, facts)
    return Finding(STEP, False, 'no Pod is ready', details, _not_ready(backends), facts)


def target_in(pod: Pod, port: ServicePort) -> int:
    """The number that targetPort means in this Pod; 0 if the Pod declares no port of that name."""
    if isinstance(port.target, int):
        return port.target
    declared = (p.port for p in pod.ports if (p.name, p.protocol) == (port.target, port.protocol))
    return next(declared, 0)


def _describe(backends: Backends, pod: Pod) -> str:
    target = target_in(pod, backends.port) if backends.port else 0
    address = listed([place(address, target) if target else address for address in pod.addresses]) or 'no address'
    return f'{pod.name} {address}: {"ready" if pod.ready else "not ready: " + _why(backends, pod)}'


def _why(backends: Backends, pod: Pod) -> str:
    return '' if pod.ready else backends.probes.get(pod.name) or pod.why


def _unmapped(backends: Backends) -> str:
    """A named targetPort that no ready Pod declares."""
    port = backends.port
    ready = [pod for pod in backends.selected if pod.ready]
    if port is None or not isinstance(port.target, str) or not ready or any(target_in(pod, port) for pod in ready):
        return ''
    declared = sorted({f'{p.name or "(unnamed)"}={p.port}/{p.protocol}' for pod in ready for p in pod.ports})
    return (
        f'targetPort "{port.target}" of Service {backends.service.label} is the name of no port of its Pods; '
        f'they declare {listed(declared) or "no ports"}'
    )


def _not_ready(backends: Backends) -> str:
    pods = backends.selected
    one = pods[0]
    whose = f'Pod {one.label} is not ready' if len(pods) == 1 else f'none of the {len(pods)} Pods is ready; {one.name}'
    why = ' '.join(_why(backends, one).split()).rstrip('.')
    if not why:
        return f'{whose}: its endpoint has not got into an EndpointSlice yet'
    return f'{whose}: {why}; see netkube describe pod {one.name} -n {one.namespace}'


def _without_selector(backends: Backends, usable: Sequence[Endpoint], facts: dict) -> Finding:
    label = backends.service.label
    if usable:
        details = tuple(place(endpoint.address, endpoint.port) for endpoint in usable[:MOST])
        return Finding(STEP, True, f'no selector; {many(len(usable), "endpoint")} by hand', details, facts=facts)
    advice = f'Service {label} has no selector and no EndpointSlice with a ready endpoint for this port: make one'
    return Finding(STEP, False, 'no selector, and no endpoint by hand', (), advice, facts)


def _nothing_selected(backends: Backends, facts: dict) -> Finding:
    selector = describe_labels(backends.service.selector)
    namespace = backends.service.namespace
    text = f'no Pod in namespace {namespace} matches the selector {selector}'
    advice = f'the selector {selector} of Service {backends.service.label} matches no Pod'
    misses = near_misses(backends.service.selector, backends.pods)
    details = tuple(f'{pod.name} {difference}' for pod, difference in misses)
    if misses:
        pod, difference = misses[0]
        advice += f'; Pod {pod.name} {difference}'
    elif backends.elsewhere:
        pod = backends.elsewhere[0]
        details = (f'{pod.label} matches, but a Service selects in its own namespace only',)
        advice += f' in its own namespace {namespace}; the Pods that it matches are in {pod.namespace}'
    elif not backends.pods:
        advice += f': there are no Pods in namespace {namespace}'
    facts |= {'nearMisses': [{'pod': pod.name, 'difference': difference} for pod, difference in misses]}
    return Finding(STEP, False, text, details, advice, facts)


def near_misses(selector: Mapping[str, str], pods: Sequence[Pod]) -> list[tuple[Pod, str]]:
    """Pods that match all labels but one, and how they differ; best first, three at most.

    Of a selector of one label, only Pods whose label looks like it, or that have its value under another key.
    """
    found = []
    for pod in pods:
        wrong = [(key, value) for key, value in selector.items() if pod.labels.get(key) != value]
        if len(wrong) != 1:
            continue
        likeness, difference = _compare(*wrong[0], pod.labels)
        if len(selector) > 1 or likeness >= CLOSE:
            found.append((-likeness, pod.name, pod, difference))
    return [(pod, difference) for _, _, pod, difference in sorted(found, key=lambda row: row[:2])[:3]]


def _compare(key: str, value: str, labels: Mapping[str, str]) -> tuple[float, str]:
    """How like the Pod's labels are to the one that is missed, and what is different."""
    if key in labels:
        ratio = difflib.SequenceMatcher(None, value, labels[key]).ratio()
        return ratio, f'has {key}={labels[key]}, not {key}={value}'
    for other, has in labels.items():
        if has == value:
            return 1.0, f'has {other}={has}, not {key}={value}'
    return 0.0, f'lacks the label {key}={value}'


def describe_labels(labels: Mapping[str, str]) -> str:
    return ','.join(f'{key}={value}' for key, value in labels.items())
