"""JSON Web Tokens and track signatures, made without a library so that their bytes never change."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

SECRET = "secret"
POLL_SECRET = "test-poll-secret"
ISSUED = 1_700_000_000
FAR = 4_102_444_800
"""1 January 2100."""
PAST = 1_700_000_600


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims: Mapping[str, object], *, secret: str = SECRET, algorithm: str = "HS256") -> str:
    """Any claims, signed as they are."""
    header = json.dumps({"alg": algorithm, "typ": "JWT"}, separators=(",", ":"))
    head = f"{_part(header.encode())}.{_part(json.dumps(claims, separators=(',', ':')).encode())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm)
    mac = hmac.new(secret.encode(), head.encode(), digest).digest() if digest else b""
    return f"{head}.{_part(mac)}"


def user(name: str, **claims: object) -> str:
    """A connection token that never expires."""
    return sign({"sub": name, "iat": ISSUED, **claims})


def channel(name: str, user: str = "", **claims: object) -> str:
    """A subscription token that never expires."""
    return sign({"sub": user, "channel": name, "iat": ISSUED, **claims})


def track(channel: str, keys: Sequence[str], user: str = "", *, issued: int = ISSUED, expires: int = FAR) -> str:
    """The signature of a batch of keys of a shared poll."""
    hashed = hashlib.sha256("\0".join(keys).encode()).hexdigest()
    signed = "\0".join((str(issued), str(expires), user, channel, hashed))
    return f"{issued}:{expires}:{hmac.new(POLL_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
