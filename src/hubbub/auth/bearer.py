"""The token of a route: a security scheme of FastAPI's, for HTTP and for WebSockets that are not accepted yet."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from hubbub.auth.refusals import Refusals
from hubbub.errors import Expired, InternalError, InvalidToken, SessionForbidden, TokenExpired

_RETRY_AFTER = "10"
"""Seconds: as often as an issuer is asked for its keys."""
_CLOSE_CODES = {401: 3000, 403: 3003, 503: 1013}
"""IANA's close codes for the statuses: unauthorized, forbidden, try again later."""
_NO_HEADER = "there is no token in the header 'Authorization: Bearer …', which web pages cannot set on a WebSocket"


class TokenUser(NamedTuple):
    """The user of a token, as ``Depends(jwt.user)`` gives it to a route."""

    user: str
    """Never empty."""
    info: Any
    """What others see beside the user in channels: the token's ``info``. None: nothing."""
    claims: Mapping[str, Any]
    """Everything that the token says, such as ``claims["email"]``."""
    expire_at: float
    """Unix seconds, when a session with this token would expire. 0: never."""

    @property
    def scopes(self) -> frozenset[str]:
        """What the token's ``scope`` lists (RFC 8693 §4.2)."""
        scope = self.claims.get("scope")
        return frozenset(scope.split() if isinstance(scope, str) else ())


class BearerUser(SecurityBase):
    """The user of the token in the ``Authorization`` header: ``Depends(jwt.user)``.

    Without a good token of a user, a request is answered with 401 and ``WWW-Authenticate`` (RFC 6750 §3); with 403
    where the token lacks a scope of ``Security(jwt.user, scopes=["admin"])``; with 503 while the issuer's keys are
    not known. A WebSocket is refused before it is accepted.
    """

    def __init__(self, read: Callable[[str], Awaitable[TokenUser]], refusals: Refusals) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "JWT"
        self._read = read
        self._refusals = refusals

    async def __call__(self, connection: HTTPConnection, security: SecurityScopes) -> TokenUser:
        scheme, _, rest = connection.headers.get("authorization", "").partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
        try:
            return await self._user(token, security)
        except HTTPException as error:
            if connection.scope["type"] != "websocket":
                raise
            # The client sees a 403 without a reason.
            self._refusals.say("a WebSocket with Depends(jwt.user)", error.detail if token else _NO_HEADER)
            raise WebSocketException(_CLOSE_CODES[error.status_code], error.detail) from None

    async def _user(self, token: str, security: SecurityScopes) -> TokenUser:
        if not token:
            raise HTTPException(401, "not authenticated", {"WWW-Authenticate": "Bearer"})
        try:
            user = await self._read(token)
        except (TokenExpired, Expired):
            raise _invalid("the token has expired or is not valid yet") from None
        except (InvalidToken, SessionForbidden):
            raise _invalid("the token is not valid") from None
        except InternalError:
            raise HTTPException(503, "tokens cannot be checked now", {"Retry-After": _RETRY_AFTER}) from None
        if not user.user:
            raise _invalid("the token is for no user")
        if not user.scopes.issuperset(security.scopes):
            challenge = f'Bearer error="insufficient_scope", scope="{security.scope_str}"'
            raise HTTPException(403, "not enough permissions", {"WWW-Authenticate": challenge})
        return user


def _invalid(reason: str) -> HTTPException:
    challenge = f'Bearer error="invalid_token", error_description="{reason}"'
    return HTTPException(401, reason, {"WWW-Authenticate": challenge})
