"""The cluster's certificates (a CA, the API server's, the administrator's) and the key that signs tokens.

EC P-256, made once, kept in ``pki/``.

``cryptography`` is imported only when something has to be made.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from netkube.api.meta import utc_now

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFETIME = timedelta(days=3650)
BACKDATED = timedelta(hours=1)  # for clocks that differ a little


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key, PEM, in one directory."""

    certificate: Path
    key: Path

    def exists(self) -> bool:
        return self.certificate.exists() and self.key.exists()


class Pki(msgspec.Struct, frozen=True):
    """The files of one cluster."""

    directory: Path

    @property
    def ca(self) -> Pair:
        return self._pair('ca')

    @property
    def apiserver(self) -> Pair:
        return self._pair('apiserver')

    @property
    def admin(self) -> Pair:
        return self._pair('admin')

    @property
    def signing_key(self) -> Path:
        """What the tokens of ServiceAccounts are signed with; kubeadm calls it so, too."""
        return self.directory / 'sa.key'

    def _pair(self, name: str) -> Pair:
        return Pair(self.directory / f'{name}.crt', self.directory / f'{name}.key')


def ensure_certificates(directory: Path, names: Iterable[str], *, now: datetime | None = None) -> Pki:
    """Make what is missing. ``names``: DNS names and addresses that the API server answers to.

    A serving certificate that lacks one of ``names`` is made anew; the CA never is.
    """
    pki, names = Pki(directory), tuple(dict.fromkeys(names))
    listing = directory / 'apiserver.names'
    wanted = '\n'.join(names)
    if not (listing.exists() and listing.read_text() == wanted):
        pki.apiserver.certificate.unlink(missing_ok=True)
    if pki.ca.exists() and pki.apiserver.exists() and pki.admin.exists() and pki.signing_key.exists():
        return pki
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_missing(pki, names, now or utc_now())
    _write(listing, wanted.encode())
    return pki


def serving_names(service_address: str, cluster_domain: str, others: Iterable[str] = ()) -> list[str]:
    """What clients call the API server: on this machine, by its Service's names and address, and ``others``."""
    service = 'kubernetes.default'
    return ['127.0.0.1', '::1', 'localhost', service_address, 'kubernetes', service, f'{service}.svc',
            f'{service}.svc.{cluster_domain}', *others]  # fmt: skip


def server_context(pki: Pki) -> ssl.SSLContext:
    """TLS for the API server; a client certificate is asked for, and one of another CA ends the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.apiserver.certificate, pki.apiserver.key)
    context.load_verify_locations(pki.ca.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(['http/1.1'])
    return context


def _make_missing(pki: Pki, names: tuple[str, ...], now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not pki.ca.exists():
        _make_ca(pki.ca, now)
    ca = x509.load_pem_x509_certificate(pki.ca.certificate.read_bytes())
    ca_key = load_pem_private_key(pki.ca.key.read_bytes(), None)
    if not isinstance(ca_key, EllipticCurvePrivateKey):
        raise ValueError(f'{pki.ca.key} is not an elliptic curve key')
    if not pki.apiserver.exists():
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        _issue(pki.apiserver, 'kube-apiserver', '', ExtendedKeyUsageOID.SERVER_AUTH, alternatives, ca, ca_key, now)
    if not pki.signing_key.exists():
        _make_signing_key(pki.signing_key)
    if not pki.admin.exists():
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        _issue(pki.admin, 'kubernetes-admin', 'system:masters', usage, None, ca, ca_key, now)


def _make_signing_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _make_ca(pair: Pair, now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject('kubernetes')
    usage = x509.KeyUsage(
        digital_signature=True, key_encipherment=True, key_cert_sign=True, crl_sign=False, content_commitment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _builder(subject, subject, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    _sign(pair, builder, key, key)


def _issue(
    pair: Pair, name: str, organization: str, usage: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None, ca: x509.Certificate, ca_key: EllipticCurvePrivateKey,
    now: datetime,
) -> None:  # fmt: skip
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(name, organization), ca.subject, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(authority, critical=False)
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    _sign(pair, builder, key, ca_key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    from cryptography import x509

    return x509.CertificateBuilder(
        issuer_name=issuer, subject_name=subject, public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=now - BACKDATED, not_valid_after=now + LIFETIME,
    )  # fmt: skip


def _sign(
    pair: Pair, builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey, signer: EllipticCurvePrivateKey
) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    certificate = builder.sign(signer, hashes.SHA256())
    _write(pair.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(pair.certificate, certificate.public_bytes(Encoding.PEM))


def _subject(name: str, organization: str = '') -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by its owner only."""
    temporary = path.with_name(path.name + '.new')
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
