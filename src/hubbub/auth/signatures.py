"""Signatures that let a user track keys of a shared poll channel: short-lived, and checked without asking anybody."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from hubbub.auth.keys import warn_of_a_short
from hubbub.errors import Forbidden, TokenExpired, UsageError

GRACE = 5.0
"""Seconds for which a signature is good beyond its expiry, since it was on its way, and clocks differ."""

_FORM = re.compile(r"([0-9]{1,15}):([0-9]{1,15}):([0-9a-f]{64})")


class TrackSigner:
    """Signs which keys of a channel a user may track: ``issued:expires:mac``, in Unix seconds, with HMAC-SHA256.

    What was signed with ``previous_secret`` is good too: clients keep their signatures, and ask for new ones only
    when these expire.

    Raises:
        UsageError: a secret is empty.
    """

    def __init__(self, secret: str, previous_secret: str | None = None) -> None:
        secrets = [secret] if previous_secret is None else [secret, previous_secret]
        if not all(secrets):
            raise UsageError("a secret of a shared poll channel is empty; make one with secrets.token_urlsafe()")
        self._secrets = [one.encode() for one in secrets]
        warn_of_a_short(self._secrets[0], "signature")

    def sign(self, user: str, channel: str, keys: Sequence[str], issued: int, expires: int) -> str:
        """The signature for these keys in this order. ``expires`` 0 is never.

        Raises:
            UsageError: a key has a NUL, with which it could pass for several.
        """
        if _has_nul(keys):
            raise UsageError("a key that is tracked cannot have a NUL")
        signed = _signed(user, channel, keys, str(issued), str(expires))
        return f"{issued}:{expires}:{_mac(self._secrets[0], signed)}"

    def verify(self, signature: str, user: str, channel: str, keys: Sequence[str], now: float) -> int:
        """When a good signature expires; 0 is never.

        Raises:
            Forbidden: it is malformed, or for another user, another channel or other keys.
            TokenExpired: it was good once.
        """
        form = _FORM.fullmatch(signature)
        if form is None or _has_nul(keys):
            raise Forbidden
        issued, expires, mac = form.groups()
        signed = _signed(user, channel, keys, issued, expires)
        if not any(hmac.compare_digest(mac, _mac(secret, signed)) for secret in self._secrets):
            raise Forbidden
        if int(expires) and int(expires) + GRACE < now:
            raise TokenExpired
        return int(expires)


def _signed(user: str, channel: str, keys: Sequence[str], issued: str, expires: str) -> bytes:
    hashed = hashlib.sha256("\0".join(keys).encode()).hexdigest()
    return "\0".join((issued, expires, user, channel, hashed)).encode()


def _mac(secret: bytes, signed: bytes) -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


def _has_nul(keys: Sequence[str]) -> bool:
    return any("\0" in key for key in keys)
