"""Tokens in the terminal: `hubbub token create` and `hubbub token check`, with the secret that the app uses."""

import asyncio
import json
import logging
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from hubbub.auth import JWT
from hubbub.auth.refusals import ONCE
from hubbub.channels import seconds
from hubbub.cli.output import say, say_error
from hubbub.errors import HubbubError, UsageError

tokens = typer.Typer(help="Make and check the JWTs of sessions.", no_args_is_help=True)

Secret = Annotated[str, typer.Option(help="What the app gives as JWT(secret=…).", envvar="JWT_SECRET")]
User = Annotated[str, typer.Option(help="The user; empty is nobody in particular.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Audience = Annotated[str | None, typer.Option(help="The audience (aud).")]
Issuer = Annotated[str | None, typer.Option(help="The issuer (iss).")]


@tokens.command()
def create(
    user: User = "",
    secret: Secret = "",
    channel: Annotated[str, typer.Option(help="Make a subscription token for this channel.")] = "",
    expires: Annotated[str, typer.Option(help="Good for so long: 90s, 30m, 12h, 7d; never.")] = "1h",
    info: Annotated[str, typer.Option(help='JSON that others see of the user, such as \'{"name": "Anna"}\'.')] = "",
    audience: Audience = None,
    issuer: Issuer = None,
    as_json: Json = False,
) -> None:
    """Make a connection token, or with --channel a subscription token."""
    jwt = _jwt(secret, audience, issuer)
    claims: dict[str, Any] = {}
    if info:
        try:
            claims["info"] = json.loads(info)
        except ValueError as error:
            raise UsageError(f"--info is not JSON: {error}") from None
    expire_in = None if expires == "never" else seconds(expires, "--expires")
    if channel:
        token = jwt.subscription_token(user, channel, expire_in=expire_in, **claims)
    else:
        token = jwt.token(user, expire_in=expire_in, **claims)
    say(json.dumps({"token": token}) if as_json else token)


@tokens.command()
def check(
    token: Annotated[str, typer.Argument(help="The token.")],
    secret: Secret = "",
    channel: Annotated[str, typer.Option(help="The channel, for a subscription token.")] = "",
    user: Annotated[str, typer.Option(help="With --channel: the user whose token it must be.")] = "",
    audience: Audience = None,
    issuer: Issuer = None,
    as_json: Json = False,
) -> None:
    """Say whether the app accepts a token. If so, also for whom and until when; if not, why, with exit code 1."""
    reasons = _Reasons()
    log = logging.getLogger("hubbub")
    log.addHandler(reasons)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    jwt = _jwt(secret, audience, issuer)
    try:
        found = asyncio.run(_found(jwt, token, channel, user))
    except HubbubError as error:
        why = reasons.last or str(error)
        if as_json:
            say(json.dumps({"valid": False, "reason": why}))
        else:
            say_error(why, "red")
        raise typer.Exit(1) from None
    if as_json:
        say(json.dumps({"valid": True, **found}, ensure_ascii=False))
        return
    expire_at = found["expire_at"]
    until = f"until {datetime.fromtimestamp(expire_at):%Y-%m-%d %H:%M:%S}" if expire_at else "without an end"
    left = f" ({expire_at - time.time():.0f} s)" if expire_at else ""
    whom = f"channel {found['channel']}" if channel else f"user {found['user'] or '(anonymous)'}"
    say(f"good for {whom}, {until}{left}")


async def _found(jwt: JWT, token: str, channel: str, user: str) -> dict[str, Any]:
    if channel:
        grant = await jwt.authorize(token, channel, user, "")
        return {"channel": channel, "user": user, "expire_at": grant.expire_at}
    identity = await jwt.authenticate(token)
    return {"user": identity.user, "expire_at": identity.expire_at}


def _jwt(secret: str, audience: str | None, issuer: str | None) -> JWT:
    if not secret:
        raise UsageError("give the secret of the app with --secret, or in the variable JWT_SECRET")
    return JWT(secret=secret, audience=audience, issuer=issuer)


class _Reasons(logging.Handler):
    """Keeps the newest line of the log: there is why a token is refused."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().removesuffix(ONCE)
