"""What tokens say: the claims of connections and subscriptions, by the Centrifuge protocol.

A claim that is null counts as absent. A claim of a wrong type spoils the token: msgspec says so, as a ValueError.
"""

import base64
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hubbub.auth.base import Grant, Identity, Override
from hubbub.errors import Expired, TokenExpired
from hubbub.protocol import halves
from hubbub.protocol.publication import Payload, from_bytes, one_line

_ABSENT = (b"", b"null")
_members = msgspec.json.Decoder(dict[str, Raw])
_user = msgspec.json.Decoder(str | int | None)


class Switch(Struct):
    """One rule of a channel, replaced."""

    value: bool = False


class Switches(Struct):
    """The rules of a channel that a token replaces."""

    presence: Switch | None = None
    join_leave: Switch | None = None
    force_push_join_leave: Switch | None = None
    force_recovery: Switch | None = None
    force_positioning: Switch | None = None

    def override(self) -> Override:
        """The same, as the contract says it."""
        switches = (getattr(self, name) for name in Override._fields)
        return Override(*(switch and switch.value for switch in switches))


class Options(Struct, kw_only=True):
    """What a token gives one subscription."""

    info: Raw = Raw()
    b64info: str | None = None
    data: Raw = Raw()
    b64data: str | None = None
    override: Switches | None = None

    def grant(self, expire_at: float = 0.0) -> Grant:
        """The same, as the contract says it; a ValueError where what should be base64 is not."""
        return Grant(
            info=_payload(self.info, self.b64info),
            data=_payload(self.data, self.b64data),
            expire_at=expire_at,
            override=Override() if self.override is None else self.override.override(),
        )


class Claims(Options, kw_only=True):
    """What both kinds of tokens hold (RFC 7519 §4.1). Times are Unix seconds, and may have a fraction."""

    sub: str | None = None
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    jti: str | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    expire_at: float | None = None
    channel: str | None = None

    def ensure_meant_for(self, audience: str | None, issuer: str | None) -> None:
        """Raises ValueError where the token is for, or of, somebody else. None: anybody."""
        audiences = self.aud if isinstance(self.aud, list) else [self.aud]
        if audience is not None and audience not in audiences:
            raise ValueError("it is for another audience")
        if issuer is not None and issuer != self.iss:
            raise ValueError("it is of another issuer")

    def ensure_current(self, now: float, leeway: float) -> None:
        """Raises TokenExpired before the token's time and after it, each by more than ``leeway`` seconds."""
        if self.exp is not None and self.exp + leeway <= now:
            raise TokenExpired
        if self.nbf is not None and self.nbf - leeway > now:
            raise TokenExpired

    def expiry(self, now: float, leeway: float) -> float:
        """When what the token is for expires: its ``expire_at``, or else with the token itself. 0: never.

        Raises:
            Expired: that is in the past.
        """
        if self.expire_at is None:
            return 0.0 if self.exp is None else self.exp + leeway
        if 0 < self.expire_at <= now:
            raise Expired
        return max(0.0, self.expire_at)


class SubscriptionClaims(Claims, kw_only=True):
    """What a subscription token holds."""

    client: str | None = None


class ConnectionClaims(Claims, kw_only=True):
    """What a connection token holds."""

    channels: list[str] | None = None
    subs: dict[str, Options] | None = None
    meta: dict[str, Any] | None = None

    def identity(self, user: str, expire_at: float) -> Identity:
        """Who connects; a ValueError where what should be base64 is not."""
        if self.subs:
            grants = {channel: options.grant() for channel, options in self.subs.items()}
        else:
            grants = dict.fromkeys(self.channels or (), Grant())
        return Identity(
            user=user,
            info=_payload(self.info, self.b64info),
            expire_at=expire_at,
            subscriptions=grants,
            meta=self.meta,
        )


def user_of(payload: bytes, claim: str) -> str:
    """The user that another claim than ``sub`` names: text, or a whole number by its digits."""
    named = halves.read(_members.decode, payload).get(claim, Raw(b"null"))
    user = halves.read(_user.decode, bytes(named))
    return "" if user is None else str(user)


def _payload(json: Raw, b64: str | None) -> Payload | None:
    """JSON as it was written, on one line; base64 wins, as it may say what JSON cannot."""
    if b64:
        return from_bytes(base64.b64decode(b64, validate=True))
    text = bytes(json)
    return None if text in _ABSENT else one_line(text.decode())
