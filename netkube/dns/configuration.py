"""Follows the ConfigMap that says who is asked about names that are not the cluster's."""

from __future__ import annotations

import logging

from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS
from netkube.client.events import EventRecorder
from netkube.client.informer import Informer, Informers
from netkube.dns.forwarding import NAME, NAMESPACE, ConfigError, Forwarding, parse_forwarding
from netkube.dns.resolver import Resolver

log = logging.getLogger(__name__)


class Configuration:
    """What cannot be read is said in an Event on the ConfigMap, and the last that could stays in force."""

    def __init__(self, resolver: Resolver, recorder: EventRecorder) -> None:
        self._resolver = resolver
        self._recorder = recorder

    def follow(self, informers: Informers) -> None:
        selector = f'metadata.name={NAME}'
        informer = Informer(informers.client, CONFIGMAPS, namespace=NAMESPACE, field_selector=selector)
        informers.add(informer).subscribe(self._on_config_map)

    def _on_config_map(self, old: Object | None, new: Object | None) -> None:
        resolver = self._resolver
        try:
            forwarding = parse(new, resolver) if new else Forwarding()
        except ConfigError as error:
            log.warning('ConfigMap %s/%s: %s', NAMESPACE, NAME, error)
            text = f'{error}; what was there before stays in force'
            self._recorder.event(new or {}, 'Warning', 'InvalidConfiguration', text)
        else:
            resolver.configure(forwarding)


def parse(config_map: Object, resolver: Resolver) -> Forwarding:
    return parse_forwarding(config_map.get('data') or {}, resolver.zone.domain, resolver.upstream.own_addresses)
