"""Signatures that let a user track keys of a polled channel: short-lived, and checked without asking anybody."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from hubbub.errors import Forbidden, TokenExpired, UsageError

GRACE = 5.0
"""Seconds for which a signature is good beyond its expiry, since it was on its way, and clocks differ."""

_FORM = re.compile(r"([0-9]{1,15}):([0-9]{1,15}):([0-9a-f]{64})")


class TrackSigner:
    """Signs which keys of a channel a user may track: ``issued:expires:mac``, in Unix seconds, with HMAC-SHA256.

    Raises:
        UsageError: the secret is empty.
    """

    def __init__(self, secret: str) -> None:
        if not secret:
            raise UsageError("the secret of a polled channel is empty; make one with secrets.token_hex(32)")
        self._secret = secret.encode()

    def sign(self, user: str, channel: str, keys: Sequence[str], issued: int, expires: int) -> str:
        """The signature for these keys in this order. ``expires`` 0 is never.

        Raises:
            UsageError: a key has a NUL, with which it could pass for several.
        """
        if _has_nul(keys):
            raise UsageError("a key that is tracked cannot have a NUL")
        return f"{issued}:{expires}:{self._mac(user, channel, keys, str(issued), str(expires))}"

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
        if not hmac.compare_digest(mac, self._mac(user, channel, keys, issued, expires)):
            raise Forbidden
        if int(expires) and int(expires) + GRACE < now:
            raise TokenExpired
        return int(expires)

    def _mac(self, user: str, channel: str, keys: Sequence[str], issued: str, expires: str) -> str:
        hashed = hashlib.sha256("\0".join(keys).encode()).hexdigest()
        signed = "\0".join((issued, expires, user, channel, hashed))
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()


def _has_nul(keys: Sequence[str]) -> bool:
    return any("\0" in key for key in keys)
