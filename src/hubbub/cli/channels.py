"""Channels in the terminal: `hubbub subscribe`, `publish`, `presence` and `history`."""

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hubbub.cli.output import printable, say, say_error
from hubbub.cli.peer import ApiCaller, Refused, SessionCaller

Url = Annotated[str, typer.Argument(help="The server, such as http://127.0.0.1:8000; with a path where it has one.")]
ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name, such as chat:lobby.")]
Token = Annotated[str, typer.Option(help="The connection token of a user: ask as that user.")]
ApiKey = Annotated[str, typer.Option(help="The key of the HTTP API: ask as the server.", envvar="HUBBUB_API_KEY")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, one object a line.")]


def subscribe(
    url: Url,
    channel: ChannelName,
    token: Token = "",
    channel_token: Annotated[str, typer.Option(help="The subscription token for the channel.")] = "",
    count: Annotated[int, typer.Option(help="End after so many publications. 0: never.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Subscribe to a channel and print its publications. Ctrl-C ends it, and so may the server.

    Each publication is a line with its data; with --json, an object with its offset, publisher and tags too.
    """
    raise typer.Exit(_run(_subscribe(SessionCaller(url, token), channel, channel_token, count, as_json=as_json)))


def publish(
    url: Url,
    channel: ChannelName,
    data: Annotated[str, typer.Argument(help='JSON, such as \'{"text": "hi"}\'; anything else is sent as text.')],
    token: Token = "",
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Publish to a channel. This is done as the server with --api-key, as a user with --token, else anonymously."""
    try:
        value = json.loads(data)
    except ValueError:
        value = data

    def show(result: dict[str, Any]) -> None:
        offset = result.get("offset")
        say(f"published at offset {offset}" if offset else "published")

    _ask(url, token, api_key, "publish", {"channel": channel, "data": value}, show, as_json)


def presence(url: Url, channel: ChannelName, token: Token = "", api_key: ApiKey = "", as_json: Json = False) -> None:
    """Print who is in a channel. Each line has the user, the client and what is known of it."""

    def show(result: dict[str, Any]) -> None:
        members = result.get("presence") or {}
        for member in members.values():
            known = [member[name] for name in ("conn_info", "chan_info") if name in member]
            say(" ".join([member.get("user") or "(anonymous)", member.get("client", ""), *map(_text, known)]))
        if not members:
            say("nobody is there")

    _ask(url, token, api_key, "presence", {"channel": channel}, show, as_json)


def history(
    url: Url,
    channel: ChannelName,
    limit: Annotated[
        int, typer.Option(help="At most so many publications; -1 is as many as the server gives.", min=-1)
    ] = -1,
    reverse: Annotated[bool, typer.Option("--reverse", help="The newest first.")] = False,
    token: Token = "",
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Print what a channel keeps. Each line has the offset and the data of one publication."""

    def show(result: dict[str, Any]) -> None:
        for publication in result.get("publications") or ():
            say(f"{publication.get('offset', '-')} {_text(publication.get('data'))}")
        say_error(f"the newest offset is {result.get('offset', 0)}, in epoch {result.get('epoch', '')!r}", "green")

    request = {"channel": channel, "limit": limit, **({"reverse": True} if reverse else {})}
    _ask(url, token, api_key, "history", request, show, as_json)


def _ask(
    url: str, token: str, api_key: str, method: str, request: dict[str, Any], show: Callable[[dict[str, Any]], None],
    as_json: bool,
) -> None:  # fmt: skip
    async def ask() -> int:
        result = await _call(url, token, api_key, method, request)
        if as_json:
            say(json.dumps(result, ensure_ascii=False))
        else:
            show(result)
        return 0

    raise typer.Exit(_run(ask()))


async def _call(url: str, token: str, api_key: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    if api_key and not token:  # the key may be in the environment, so a token counts first
        return await ApiCaller(url, api_key).call(method, request)
    async with SessionCaller(url, token) as session:
        return await session.call(method, request)


async def _subscribe(session: SessionCaller, channel: str, token: str, count: int, *, as_json: bool) -> int:
    async with session:
        request = {"channel": channel, **({"token": token} if token else {})}
        result = await session.call("subscribe", request)
        say_error(f"subscribed to {channel}; Ctrl-C ends", "green")
        seen = 0
        for publication in result.get("publications") or ():
            seen += _show(publication, as_json=as_json)
        if count and seen >= count:
            return 0
        async for push in session.pushes():
            if push.get("channel") != channel:
                continue
            if "unsubscribe" in push:
                raise Refused(f"the server ended the subscription: {push['unsubscribe'].get('code')}")
            seen += _show(push["pub"], as_json=as_json) if "pub" in push else 0
            if count and seen >= count:
                return 0
    return 0


def _show(publication: dict[str, Any], *, as_json: bool) -> int:
    say(json.dumps(publication, ensure_ascii=False) if as_json else _text(publication.get("data")))
    return 1


def _text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _run(work: Any) -> int:
    try:
        return int(asyncio.run(work))
    except Refused as refused:
        say_error(printable(str(refused)), "red")
        return 1
