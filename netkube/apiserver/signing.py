"""JSON Web Tokens signed with the cluster's own key: ES256 (RFC 7515, RFC 7518 section 3.4), a key in ``pki/``.

P-256, because a signature costs 40 us where RSA's costs a millisecond, and every Pod has a token. One algorithm, one
key: a token that says anything else in its header is none of ours. ``cryptography`` (80 ms, 10 MB) is imported with
the first token.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ALGORITHM = 'ES256'
HALF = 32  # bytes of each of the two numbers that a signature is
KEPT_TOKENS = 4096

_encode = msgspec.json.Encoder(order='sorted').encode


class InvalidToken(Exception):
    """Not one of ours, or not any more; the text says why."""


class SigningKey:
    """``path``: a PEM file with the private key; without one a key is made that lasts as long as the process."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._key: EllipticCurvePrivateKey | None = None
        self._header = b''
        self._verified: dict[bytes, dict[str, Any]] = {}

    async def ready(self) -> None:
        """Read the key, once, off the event loop."""
        if self._key is None:
            await asyncio.to_thread(self._load)

    def sign(self, claims: dict[str, Any]) -> str:
        """After ``ready``."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        signed = self._header + b'.' + _base64url(_encode(claims))
        r, s = decode_dss_signature(self._private.sign(signed, _ecdsa()))
        signature = r.to_bytes(HALF, 'big') + s.to_bytes(HALF, 'big')
        return (signed + b'.' + _base64url(signature)).decode()

    def verify(self, token: str) -> dict[str, Any]:
        """The claims, when the signature is ours; what they say is not looked at. InvalidToken. After ``ready``."""
        raw = token.encode()
        digest = hashlib.sha256(raw).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(raw)
            if len(self._verified) >= KEPT_TOKENS:
                self._verified.clear()
            self._verified[digest] = claims
        return claims

    def jwks(self) -> dict[str, Any]:
        """The public key as RFC 7517 writes it. After ``ready``."""
        numbers = self._private.public_key().public_numbers()
        x, y = (_base64url(number.to_bytes(HALF, 'big')).decode() for number in (numbers.x, numbers.y))
        header = msgspec.json.decode(_unbase64url(self._header))
        return {'keys': [{'use': 'sig', 'kty': 'EC', 'kid': header['kid'], 'crv': 'P-256', 'alg': ALGORITHM,
                          'x': x, 'y': y}]}  # fmt: skip

    @property
    def _private(self) -> EllipticCurvePrivateKey:
        assert self._key is not None, 'ready() comes first'
        return self._key

    def _verify(self, token: bytes) -> dict[str, Any]:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        try:
            header, payload, signature = token.split(b'.')
            numbers = _unbase64url(signature)
            if header != self._header or len(numbers) != 2 * HALF:
                raise InvalidToken('the token is not signed with the key of this cluster')
            r, s = int.from_bytes(numbers[:HALF], 'big'), int.from_bytes(numbers[HALF:], 'big')
            signed = header + b'.' + payload
            self._private.public_key().verify(encode_dss_signature(r, s), signed, _ecdsa())
            claims = msgspec.json.decode(_unbase64url(payload))
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise InvalidToken('the token is malformed') from None
        except InvalidSignature:
            raise InvalidToken('the signature of the token is wrong') from None
        if not isinstance(claims, dict):
            raise InvalidToken('the token is malformed')
        return claims

    def _load(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        key = ec.generate_private_key(ec.SECP256R1()) if self._path is None else None
        if self._path is not None:
            key = load_pem_private_key(self._path.read_bytes(), None)  # type: ignore[assignment]
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f'{self._path} is not a P-256 key')
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kid = _base64url(hashlib.sha256(public).digest()).decode()
        self._header = _base64url(_encode({'alg': ALGORITHM, 'kid': kid}))
        self._key = key


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b'=')


def _unbase64url(text: bytes) -> bytes:
    return base64.b64decode(text + b'=' * (-len(text) % 4), altchars=b'-_', validate=True)
