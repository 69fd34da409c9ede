"""Who a client is, on the network."""

from __future__ import annotations

import asyncio
import http.client
import os
import ssl
import stat
from pathlib import Path

import pytest
from served import ServedApi

from netkube.apiserver.certificates import Pair, Pki, ensure_certificates, serving_names

NAMES = serving_names('10.96.0.1', 'mycompany.com')


def context(pki: Pki, client: Pair | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki.ca.certificate))
    if client:
        made.load_cert_chain(client.certificate, client.key)
    return made


async def code(api: ServedApi, path: str, client: Pair | None, host: str = '127.0.0.1') -> int:
    def get() -> int:
        connection = http.client.HTTPSConnection(host, api.port, context=context(api.pki, client), timeout=60)
        connection.request('GET', path)
        return connection.getresponse().status

    return await asyncio.to_thread(get)


async def test_a_certificate_of_the_clusters_ca_is_an_identity(api: ServedApi) -> None:
    assert await code(api, '/api/v1/pods', api.pki.admin) == 200
    assert await code(api, '/api/v1/pods', api.pki.admin, 'localhost') == 200


async def test_without_a_certificate_there_is_only_health_and_version(api: ServedApi) -> None:
    assert await code(api, '/api/v1/pods', None) == 401
    assert await code(api, '/apis', None) == 401
    assert await code(api, '/livez', None) == 200


async def test_a_certificate_of_another_ca_is_refused(api: ServedApi, tmp_path: Path) -> None:
    other = ensure_certificates(tmp_path / 'other', NAMES)
    with pytest.raises(OSError):
        await code(api, '/api/v1/pods', other.admin)


async def test_the_unix_socket_is_roots_alone(api: ServedApi) -> None:
    assert stat.S_IMODE(os.stat(api.socket).st_mode) == 0o600


def test_certificates_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    pki = ensure_certificates(tmp_path / 'pki', NAMES)
    before = {path: path.read_bytes() for path in (tmp_path / 'pki').iterdir()}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in before)
    assert ensure_certificates(tmp_path / 'pki', NAMES) == pki
    assert {path: path.read_bytes() for path in (tmp_path / 'pki').iterdir()} == before


def test_other_names_need_another_serving_certificate_of_the_same_ca(tmp_path: Path) -> None:
    pki = ensure_certificates(tmp_path / 'pki', NAMES)
    before = [path.read_bytes() for path in (pki.ca.certificate, pki.admin.certificate, pki.apiserver.certificate)]
    ensure_certificates(tmp_path / 'pki', [*NAMES, '10.0.0.1'])
    after = [path.read_bytes() for path in (pki.ca.certificate, pki.admin.certificate, pki.apiserver.certificate)]
    assert after[:2] == before[:2] and after[2] != before[2]
