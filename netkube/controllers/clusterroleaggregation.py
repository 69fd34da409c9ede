"""ClusterRoles that are the sum of others: ``aggregationRule``. Source: pkg/controller/clusterroleaggregation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, key_of, utc_now
from netkube.api.resources import CLUSTERROLES
from netkube.api.selectors import from_label_selector
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers


class ClusterRoleAggregationController:
    component = 'clusterrole-aggregation-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._roles = informers[CLUSTERROLES]
        self._controller = Controller('clusterroleaggregation', informers, self._sync)
        self._controller.watch(CLUSTERROLES, self._sums)

    async def run(self) -> None:
        await self._controller.run()

    def _sums(self, changed: Object) -> Iterable[Key]:
        """A change of any role may be one of its sums'."""
        return [key_of(role) for role in self._roles.list() if role.get('aggregationRule')]

    async def _sync(self, key: Key) -> None:
        role = self._roles.get(key)
        if role is None or not role.get('aggregationRule'):
            return
        rules = aggregated_rules(role, self._roles.list())
        if rules == (role.get('rules') or []):
            return
        try:
            await self._client.update(CLUSTERROLES, {**role, 'rules': rules})
        except ApiError as error:
            if error.reason != 'NotFound':
                raise


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules of all other roles that a selector matches, in order of their names, each once."""
    selectors = [from_label_selector(one) for one in role['aggregationRule'].get('clusterRoleSelectors') or ()]
    name, rules = role['metadata']['name'], []
    for other in sorted(roles, key=lambda one: one['metadata']['name']):
        labels = other['metadata'].get('labels')
        if other['metadata']['name'] != name and any(selector.matches(labels) for selector in selectors):
            rules += [rule for rule in other.get('rules') or () if rule not in rules]
    return rules
