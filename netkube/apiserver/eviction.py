"""The eviction subresource: a Pod is deleted unless its PodDisruptionBudget forbids it.

Source: pkg/registry/core/pod/storage/eviction.go. Here granting and deleting are one step, so nothing has to be tried
again.
"""

from __future__ import annotations

from netkube.api.errors import ApiError, forbidden
from netkube.api.meta import Object, copy_object, is_deleting, timestamp
from netkube.api.resources import PODDISRUPTIONBUDGETS, PODS
from netkube.api.selectors import from_label_selector
from netkube.apiserver.delete import DeleteOptions, check_preconditions, delete
from netkube.apiserver.storage import Storage
from netkube.store.store import Entry

FINISHED = ('Succeeded', 'Failed', 'Pending')  # such a Pod is no loss
BUSY_SECONDS = 10
MOST_DISRUPTED = 2000
REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
TWO_BUDGETS = 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.'


def evict(storage: Storage, eviction: Object, options: DeleteOptions) -> Entry:
    """Delete the Pod of that name. ApiError 429 when its budget has no room, 500 when it has two budgets."""
    metadata = eviction['metadata']
    current = storage.get(PODS, metadata.get('namespace'), metadata['name'])
    pod = storage.object(current)
    check_preconditions(PODS, pod, options)
    if not is_deleting(pod) and pod.get('status', {}).get('phase', 'Pending') not in FINISHED:
        _ask_budget(storage, pod, dry_run=options.dry_run)
        if not options.dry_run:
            current = storage.replace(PODS, _marked(storage, pod), current)
    options = DeleteOptions(options.grace_period_seconds, options.propagation_policy, options.uid, '', options.dry_run)
    return delete(storage, PODS, current, options)[0]


def _ask_budget(storage: Storage, pod: Object, *, dry_run: bool) -> None:
    """Takes one of the disruptions that its budget allows."""
    budgets = _budgets_of(storage, pod)
    if len(budgets) > 1:
        raise ApiError(500, '', TWO_BUDGETS)
    for budget in budgets:
        if not _may_go_unasked(budget, pod):
            _check(budget)
            taken = _taken(budget, pod['metadata']['name'], timestamp(storage.now()))
            metadata = budget['metadata']
            entry = storage.get(PODDISRUPTIONBUDGETS, metadata['namespace'], metadata['name'])
            storage.replace(PODDISRUPTIONBUDGETS, taken, entry, dry_run=dry_run)


def _budgets_of(storage: Storage, pod: Object) -> list[Object]:
    namespace, labels = pod['metadata']['namespace'], pod['metadata'].get('labels') or {}
    return [
        budget
        for budget in storage.objects(PODDISRUPTIONBUDGETS)
        if budget['metadata']['namespace'] == namespace
        and from_label_selector(budget['spec'].get('selector')).matches(labels)
    ]


def _may_go_unasked(budget: Object, pod: Object) -> bool:
    """A Pod that is not ready counts for nobody: it goes always, or while the others are enough (the default)."""
    conditions = pod['status'].get('conditions') or ()
    if any(one['type'] == 'Ready' and one['status'] == 'True' for one in conditions):
        return False
    if budget['spec'].get('unhealthyPodEvictionPolicy') == 'AlwaysAllow':
        return True
    status = budget.get('status') or {}
    desired = status.get('desiredHealthy', 0)
    return desired > 0 and status.get('currentHealthy', 0) >= desired


def _check(budget: Object) -> None:
    metadata, status = budget['metadata'], budget.get('status') or {}
    name = metadata['name']
    if status.get('observedGeneration', 0) < metadata.get('generation', 1):
        raise _refusal(f'The disruption budget {name} is still being processed by the server.', BUSY_SECONDS)
    if len(status.get('disruptedPods') or ()) > MOST_DISRUPTED:
        why = 'DisruptedPods map too big - too many evictions not confirmed by PDB controller'
        raise forbidden(PODDISRUPTIONBUDGETS, name, why)
    if status.get('disruptionsAllowed', 0) <= 0:
        raise _refusal(_reason(name, status))


def _reason(name: str, status: Object) -> str:
    for condition in status.get('conditions') or ():
        if condition['type'] == 'DisruptionAllowed' and condition.get('reason') == 'SyncFailed':
            why = f'because it failed sync: {condition["message"]}'
            return f'The disruption budget {name} does not allow evicting pods currently {why}'
    desired, healthy = status.get('desiredHealthy', 0), status.get('currentHealthy', 0)
    if healthy <= desired:
        return f'The disruption budget {name} needs {desired} healthy pods and has {healthy} currently'
    return f'The disruption budget {name} does not allow evicting pods currently'


def _refusal(cause: str, retry_seconds: int = 0) -> ApiError:
    details: Object = {'causes': [{'reason': 'DisruptionBudget', 'message': cause}]}
    if retry_seconds:
        details['retryAfterSeconds'] = retry_seconds
    return ApiError(429, 'TooManyRequests', REFUSAL, details)


def _taken(budget: Object, pod_name: str, now: str) -> Object:
    new = copy_object(budget)
    status = new['status']
    status['disruptionsAllowed'] -= 1
    status.setdefault('disruptedPods', {})[pod_name] = now
    return new


def _marked(storage: Storage, pod: Object) -> Object:
    """With the condition that says why it goes."""
    new = copy_object(pod)
    status = new.setdefault('status', {})
    others = [one for one in status.get('conditions') or () if one['type'] != 'DisruptionTarget']
    reason = {'reason': 'EvictionByEvictionAPI', 'message': 'Eviction API: evicting'}
    added = {'type': 'DisruptionTarget', 'status': 'True', 'lastTransitionTime': timestamp(storage.now()), **reason}
    status['conditions'] = [*others, added]
    return new
