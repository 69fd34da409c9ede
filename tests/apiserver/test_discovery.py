"""What clients learn about the server before anything else."""

from __future__ import annotations

from served import ServedApi

from netkube.api.resources import SERVED

AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'


async def test_version_and_health(api: ServedApi) -> None:
    assert (await api.request('GET', '/version')).json['gitVersion'] == 'v1.37.0+netkube'
    for path in ('/healthz', '/livez', '/readyz'):
        assert (await api.request('GET', path)).body == b'ok'


async def test_legacy_discovery_names_every_resource(api: ServedApi) -> None:
    versions = (await api.request('GET', '/api')).json['versions']
    groups = (await api.request('GET', '/apis')).json['groups']
    assert versions == ['v1'] and 'apps' in [group['name'] for group in groups]
    apps = (await api.request('GET', '/apis/apps')).json
    assert apps['preferredVersion'] == {'groupVersion': 'apps/v1', 'version': 'v1'}
    paths = ['/api/v1'] + [f'/apis/{version["groupVersion"]}' for group in groups for version in group['versions']]
    kinds = set()
    for path in paths:
        kinds |= {one['kind'] for one in (await api.request('GET', path)).json['resources'] if '/' not in one['name']}
    assert kinds == {resource.kind for resource in SERVED}


async def test_aggregated_discovery_says_the_same_in_two_documents(api: ServedApi) -> None:
    kinds = set()
    for path in ('/api', '/apis'):
        answer = await api.request('GET', path, accept=f'{AGGREGATED},application/json')
        assert answer.headers['content-type'] == AGGREGATED and answer.json['apiVersion'] == 'apidiscovery.k8s.io/v2'
        for group in answer.json['items']:
            kinds |= {one['responseKind']['kind'] for version in group['versions'] for one in version['resources']}
    assert kinds == {resource.kind for resource in SERVED}


async def test_openapi(api: ServedApi) -> None:
    paths = (await api.request('GET', '/openapi/v3')).json['paths']
    groups = ('apps', 'authentication.k8s.io', 'authorization.k8s.io', 'coordination.k8s.io', 'discovery.k8s.io',
              'networking.k8s.io', 'rbac.authorization.k8s.io')  # fmt: skip
    assert set(paths) == {'api/v1', *(f'apis/{group}/v1' for group in groups)}
    document = await api.request('GET', paths['apis/apps/v1']['serverRelativeURL'])
    assert 'io.k8s.api.apps.v1.Deployment' in document.json['components']['schemas']
    assert document.headers['cache-control'] == 'public, immutable'
    assert 'io.k8s.api.core.v1.Pod' in (await api.request('GET', '/openapi/v2')).json['definitions']
