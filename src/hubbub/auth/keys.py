"""Keys, and what each can verify. The kind of a key decides that and not the token, so that a public key is
never taken for a secret, and there is no key for ``none`` (RFC 8725 §3.1).
"""

import logging
import math
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, PyJWTError

from hubbub.errors import UsageError

HMAC = ("HS256", "HS384", "HS512")
RSA = ("RS256", "RS384", "RS512")
EC = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ASYMMETRIC = (*RSA, *EC.values(), "EdDSA")
SHORTEST_SECRET = 32
"""Bytes: as many as HMAC with SHA-256 makes of it (RFC 7518 §3.2)."""
SHORTEST_RSA = 2048
"""Bits; what is shorter can be broken (NIST SP 800-131A)."""

_log = logging.getLogger("hubbub")


class Key(NamedTuple):
    """A key, the algorithms that it is for, and until when it is good (Unix seconds)."""

    material: Any
    algorithms: tuple[str, ...]
    until: float = math.inf


class CheckedHMAC(HMACAlgorithm):
    """HMAC for secrets that were looked at once: PyJWT does so for each token, which takes 6 of its 20 µs."""

    def prepare_key(self, key: Any) -> bytes:
        """The key, which is bytes already."""
        return bytes(key)

    def check_key_length(self, key: bytes) -> str | None:
        """Nothing: a short secret was warned of when it was given."""
        return None


_jws = PyJWS(algorithms=ASYMMETRIC, options={"enforce_minimum_key_length": True})
for _name, _hash in zip(HMAC, (HMACAlgorithm.SHA256, HMACAlgorithm.SHA384, HMACAlgorithm.SHA512), strict=True):
    _jws.register_algorithm(_name, CheckedHMAC(_hash))


def from_secret(secret: str | bytes, until: float = math.inf) -> Key:
    """A shared secret.

    Raises:
        UsageError: it is empty, or a public key.
    """
    material = secret.encode() if isinstance(secret, str) else secret
    try:
        return Key(HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material), HMAC, until)
    except InvalidKeyError:
        raise UsageError("a secret is neither empty nor a public key: give the latter as public_key") from None


def warn_of_a_short(secret: bytes, signs: str) -> None:
    """A line in the log about a secret that can be guessed from one thing that it ``signs``."""
    if len(secret) < SHORTEST_SECRET:
        _log.warning(
            "a secret of %d bytes can be guessed from one %s: make one of %d with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'",
            len(secret),
            signs,
            SHORTEST_SECRET,
        )


def from_pem(pem: str) -> Key:
    """A public key, in PEM.

    Raises:
        UsageError: it is something else, or too short.
    """
    try:
        material = load_pem_public_key(pem.encode())
        return Key(material, _algorithms_of(material))
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            "public_key is the PEM text of a public key (-----BEGIN PUBLIC KEY-----): "
            f"RSA of {SHORTEST_RSA} bits or more, EC P-256, P-384 or P-521, or Ed25519"
        ) from None


def from_jwk(entry: dict[str, Any]) -> Key:
    """A public key, as an entry of a JSON Web Key Set (RFC 7517 §4).

    Raises:
        ValueError: it is something else: a secret, a private key, a key to encrypt with.
    """
    try:
        material = PyJWK(entry).key
    except (PyJWTError, UnsupportedAlgorithm, TypeError, KeyError) as error:
        raise ValueError("no key") from error
    algorithms = [name for name in _algorithms_of(material) if entry.get("alg") in (None, name)]
    if not algorithms or entry.get("use") not in (None, "sig"):
        raise ValueError("no key for signatures")
    return Key(material, tuple(algorithms))


def _algorithms_of(material: object) -> tuple[str, ...]:
    match material:
        case RSAPublicKey() if material.key_size >= SHORTEST_RSA:
            return RSA
        case EllipticCurvePublicKey() if material.curve.name in EC:
            return (EC[material.curve.name],)
        case Ed25519PublicKey():
            return ("EdDSA",)
    raise ValueError("no public key of a kind that verifies tokens")


def verified(token: str, key: Key, algorithm: str) -> bytes:
    """What ``key`` signed with ``algorithm``.

    Raises:
        ValueError: it did not sign that, or with another algorithm.
    """
    try:
        return bytes(_jws.decode_complete(token, key.material, [algorithm])["payload"])
    except PyJWTError as error:
        raise ValueError(str(error)) from None


def signed(payload: bytes, key: Key, algorithm: str) -> str:
    """A token with this payload."""
    return _jws.encode(payload, key.material, algorithm)
