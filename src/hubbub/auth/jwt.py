"""JSON Web Tokens: the app signs them, clients bring them, and no request goes to the app for it."""

import difflib
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from hubbub.auth.base import Auth, Grant, Identity
from hubbub.auth.bearer import BearerUser, TokenUser
from hubbub.auth.claims import Claims, ConnectionClaims, SubscriptionClaims, user_of
from hubbub.auth.keyring import Keyring
from hubbub.auth.refusals import Refusals
from hubbub.errors import Expired, Forbidden, InvalidToken, SessionForbidden, TokenExpired, UsageError
from hubbub.identifiers import ensure_text
from hubbub.protocol import halves
from hubbub.protocol.publication import encode

_Kind = TypeVar("_Kind", bound=Claims)
_claims = msgspec.json.Decoder(dict[str, Any])
_CONNECTION = "a connection token"
_SUBSCRIPTION = "a subscription token"
_EXPIRED = "it has expired or is not valid yet"


class JWT(Auth):
    """Tokens of RFC 7519, with the claims of the Centrifuge protocol.

    At least one key is needed: ``secret`` (HS256, HS384, HS512), ``public_key`` (PEM, one or several: RS256,
    RS384, RS512, ES256, ES384, ES512, EdDSA) or ``jwks_url`` (where the issuer publishes such keys). The log says why
    tokens are refused, once for each reason, and each time at the debug level; the client is not told. In routes,
    ``Depends(jwt.user)`` is the user of the token in the ``Authorization`` header.

    Args:
        secret: at least 32 random bytes, known to all who sign.
        previous_secret: also taken, so that a secret can be changed while tokens of the old one are about.
        previous_secret_until: Unix seconds until which it is. None: as long as it is given.
        algorithms: taken of those that the keys are for. None: all of them.
        audience: must be among the token's ``aud``. None: not looked at.
        issuer: must be the token's ``iss``. None: not looked at.
        user_claim: names the user: text or, where it is not ``sub``, a whole number.
        leeway: seconds by which clocks may differ: a token is good for as long before and after its time.
        allow_anonymous: False refuses connection tokens without a user.
        subscription: verifies the subscription tokens, where these have other keys.
        clock: Unix seconds.

    Raises:
        UsageError: there is no key, or one that cannot be used; the message says what to give.
    """

    user: BearerUser
    """For routes and WebSocket endpoints, ``Annotated[TokenUser, Depends(jwt.user)]``: the user of the bearer token.
    Without a good one a request is answered with 401, and a WebSocket is refused before it is accepted. OpenAPI shows
    the scheme; ``Security(jwt.user, scopes=["admin"])`` asks for scopes."""

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        previous_secret: str | bytes | None = None,
        previous_secret_until: float | None = None,
        public_key: str | Sequence[str] | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        user_claim: str = "sub",
        leeway: float = 0.0,
        allow_anonymous: bool = True,
        subscription: "JWT | None" = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = Keyring(
            secret=secret,
            previous_secret=previous_secret,
            previous_secret_until=previous_secret_until,
            public_key=public_key,
            jwks_url=jwks_url,
            algorithms=algorithms,
        )
        self._audience = audience
        self._issuer = issuer
        self._user_claim = user_claim
        self._leeway = leeway
        self._allow_anonymous = allow_anonymous
        self._subscription = subscription
        self._clock = clock
        self._refusals = Refusals()
        self.user = BearerUser(self._token_user, self._refusals)

    async def authenticate(self, token: str) -> Identity:
        return (await self._connection(token))[0]

    async def _token_user(self, token: str) -> TokenUser:
        identity, payload = await self._connection(token)
        info = identity.info
        try:
            claims = halves.read(_claims.decode, payload)
            shown = halves.read(msgspec.json.decode, str(info)) if isinstance(info, str) else info
        except (ValueError, RecursionError) as error:  # a number that is no float, say: JSON, but no value of Python's
            self._refusals.say(_CONNECTION, str(error))
            raise InvalidToken from None
        return TokenUser(identity.user, shown, claims, identity.expire_at)

    async def _connection(self, token: str) -> tuple[Identity, bytes]:
        """Who connects with a token, and all that the token says; raises as ``authenticate``."""
        try:
            claims, user, payload = await self._read(ConnectionClaims, token)
            if claims.channel:
                raise ValueError("it is for a subscription")
            now = self._clock()
            claims.ensure_current(now, self._leeway)
            identity = claims.identity(user, claims.expiry(now, self._leeway))
        except (ValueError, RecursionError) as error:
            self._refusals.say(_CONNECTION, str(error))
            raise InvalidToken from None
        except (TokenExpired, Expired):
            self._refusals.say(_CONNECTION, _EXPIRED, logging.INFO)
            raise
        if not user and not self._allow_anonymous:
            self._refusals.say(_CONNECTION, "it is for no user, and allow_anonymous is False")
            raise SessionForbidden
        return identity, payload

    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        if self._subscription is not None:
            return await self._subscription.authorize(token, channel, user, client)
        try:
            claims, owner, _ = await self._read(SubscriptionClaims, token)
            now = self._clock()
            claims.ensure_current(now, self._leeway)
            if not claims.channel:
                raise ValueError("it is for no channel")
            grant = claims.grant(claims.expiry(now, self._leeway))
        except (ValueError, RecursionError) as error:
            self._refusals.say(_SUBSCRIPTION, str(error))
            raise Forbidden from None
        except (TokenExpired, Expired):
            self._refusals.say(_SUBSCRIPTION, _EXPIRED, logging.INFO)
            raise
        if (claims.channel, owner, claims.client or client) != (channel, user, client):
            self._refusals.say(_SUBSCRIPTION, "it is for another channel, user or client")
            raise InvalidToken
        return grant

    def token(self, user: str, *, expire_in: float | None = 3600.0, **claims: Any) -> str:
        """A connection token for ``user``, good for ``expire_in`` seconds (None: for ever), as a login hands out.

        ``claims`` are added: ``info`` and ``meta`` (models or what JSON can hold), ``channels``, ``subs``,
        ``expire_at`` and others.

        Raises:
            UsageError: there is no secret to sign with, the user is no text, a claim has no JSON form or looks like
                a misspelt ``expire_in``.
        """
        return self._sign({self._user_claim: user}, expire_in, claims)

    def subscription_token(self, user: str, channel: str, *, expire_in: float | None = 3600.0, **claims: Any) -> str:
        """A token that lets ``user`` subscribe to ``channel``, good for ``expire_in`` seconds (None: for ever).

        ``claims`` are added: ``info`` and ``data`` (models or what JSON can hold), ``override``, ``expire_at``
        and others.

        Raises:
            UsageError: there is no secret to sign with, the user is no text, a claim has no JSON form or looks like
                a misspelt ``expire_in``.
        """
        if self._subscription is not None:
            return self._subscription.subscription_token(user, channel, expire_in=expire_in, **claims)
        ensure_text(channel, "the channel of a token")
        return self._sign({self._user_claim: user, "channel": channel}, expire_in, claims)

    async def _read(self, kind: type[_Kind], token: str) -> tuple[_Kind, str, bytes]:
        """The claims of a token that is genuine and meant for us, its user and its JSON; a ValueError of any other."""
        payload = await self._keyring.verify(token, self._clock())
        claims = halves.read(msgspec.json.Decoder(kind).decode, payload)
        claims.ensure_meant_for(self._audience, self._issuer)
        user = (claims.sub or "") if self._user_claim == "sub" else user_of(payload, self._user_claim)
        return claims, user, payload

    def _sign(self, own: dict[str, Any], expire_in: float | None, claims: dict[str, Any]) -> str:
        meant = [
            name for name in claims if name != "expire_at" and difflib.get_close_matches(name, ("expire_in", "ttl"))
        ]
        if meant:
            raise UsageError(
                f"{meant[0]!r} would be one more claim of the token, and end nothing: expire_in= says when"
            )
        ensure_text(own[self._user_claim], "the user of a token")
        if expire_in is not None:
            own["exp"] = math.ceil(self._clock() + expire_in)
        if self._audience is not None:
            own["aud"] = self._audience
        if self._issuer is not None:
            own["iss"] = self._issuer
        return self._keyring.sign(str(encode(own | claims)).encode())
