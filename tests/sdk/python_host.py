"""What runs the Python SDK: an event loop on a thread."""

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import centrifuge as sdk

from .background import Background
from .clients import CALL_DEADLINE, CallRefused, Event, Host

Say = Callable[..., None]


class PythonHost(Host):
    """Clients of centrifuge-python."""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._driven: dict[str, Driven] = {}

    def ask(self, client: str, method: str, arguments: Mapping[str, Any]) -> Any:
        return self._background.run(self._ask(client, method, arguments), within=CALL_DEADLINE)

    async def _ask(self, client: str, method: str, arguments: Mapping[str, Any]) -> Any:
        if method == "open":
            self._driven[client] = Driven(lambda event: self.note({"client": client, **event}), **arguments)
            return await self._driven[client].open()
        try:
            return await getattr(self._driven[client], method)(**arguments)
        except sdk.ReplyError as error:
            raise CallRefused(error.code, error.message) from error

    def stop(self) -> None:
        for driven in self._driven.values():
            self._background.run(driven.close())


class Driven(sdk.ClientEventHandler):
    """One client; its methods and events are those of ``driver.mjs``."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        *,
        encoding: str,
        endpoints: list[dict[str, str]],
        emulation: str,
        token_url: str,
        reconnect_within: float,
    ) -> None:
        self._emit = emit
        self.binary = encoding == "protobuf"
        self._sdk = sdk.Client(
            endpoints[0]["endpoint"],
            events=self,
            get_token=self._asking(token_url),
            use_protobuf=self.binary,
            min_reconnect_delay=0.05,
            max_reconnect_delay=reconnect_within,
            proxy=None,
        )

    def say(self, event: str, **fields: Any) -> None:
        self._emit({"event": event, **fields})

    def _asking(self, url: str, **fields: Any) -> Callable[..., Awaitable[str]]:
        def fetch() -> str:
            with urllib.request.urlopen(url, timeout=5) as response:
                return str(response.read().decode())

        async def get_token(*_: str) -> str:
            self.say("asked for a token", **fields)
            return await asyncio.to_thread(fetch)

        return get_token

    # Calls.

    async def open(self) -> None:
        await self._sdk.connect()

    async def close(self) -> None:
        await self._sdk.disconnect()

    async def subscribe(self, channel: str, token_url: str = "") -> None:
        get_token = self._asking(token_url, channel=channel) if token_url else None
        events = SubscriptionEvents(self, channel)
        await self._sdk.new_subscription(channel, events=events, get_token=get_token).subscribe()

    async def unsubscribe(self, channel: str) -> None:
        subscription = self._sdk.get_subscription(channel)
        assert subscription is not None
        await subscription.unsubscribe()

    async def publish(self, channel: str, data: Any) -> None:
        await self._sdk.publish(channel, self._write(data))

    async def rpc(self, name: str, data: Any) -> Any:
        return self.read((await self._sdk.rpc(name, self._write(data))).data)

    async def presence(self, channel: str) -> list[Any]:
        return [self.member(info) for info in (await self._sdk.presence(channel)).clients.values()]

    async def presence_stats(self, channel: str) -> dict[str, int]:
        stats = await self._sdk.presence_stats(channel)
        return {"clients": stats.num_clients, "users": stats.num_users}

    async def history(self, channel: str, since: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        position = sdk.StreamPosition(**since) if since else None
        history = await self._sdk.history(channel, since=position, **options)
        publications = [self.publication(one) for one in history.publications]
        return {"publications": publications, "offset": history.offset, "epoch": history.epoch}

    # Values.

    def publication(self, one: sdk.Publication) -> dict[str, Any]:
        info = None if one.info is None else self.member(one.info)
        return {"data": self.read(one.data), "offset": one.offset, "info": info}

    def member(self, info: sdk.ClientInfo) -> dict[str, Any]:
        return {
            "id": info.client,
            "user": info.user,
            "conn_info": self.read(info.conn_info),
            "chan_info": self.read(info.chan_info),
        }

    def subscribed(self, side: str, ctx: sdk.SubscribedContext | sdk.ServerSubscribedContext) -> None:
        position = ctx.stream_position
        self.say(
            "subscribed",
            side=side,
            channel=ctx.channel,
            was_recovering=ctx.was_recovering,
            recovered=ctx.recovered,
            position=None if position is None else {"offset": position.offset, "epoch": position.epoch},
            data=self.read(ctx.data),
        )

    def _write(self, data: Any) -> Any:
        return json.dumps(data).encode() if self.binary else data

    def read(self, data: Any) -> Any:
        if self.binary and data is not None:
            return json.loads(data) if data else None
        return data

    # Events.

    async def on_connecting(self, ctx: sdk.ConnectingContext) -> None:
        self.say("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx: sdk.ConnectedContext) -> None:
        self.say("connected", id=ctx.client, transport="websocket", data=self.read(ctx.data))

    async def on_disconnected(self, ctx: sdk.DisconnectedContext) -> None:
        self.say("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx: sdk.ErrorContext) -> None:
        self.say("error", code=ctx.code, message=str(ctx.error))

    async def on_subscribed(self, ctx: sdk.ServerSubscribedContext) -> None:
        self.subscribed("server", ctx)

    async def on_unsubscribed(self, ctx: sdk.ServerUnsubscribedContext) -> None:
        self.say("unsubscribed", side="server", channel=ctx.channel)

    async def on_publication(self, ctx: sdk.ServerPublicationContext) -> None:
        self.say("publication", side="server", channel=ctx.channel, **self.publication(ctx.pub))

    async def on_join(self, ctx: sdk.ServerJoinContext) -> None:
        self.say("join", side="server", channel=ctx.channel, **self.member(ctx.info))

    async def on_leave(self, ctx: sdk.ServerLeaveContext) -> None:
        self.say("leave", side="server", channel=ctx.channel, **self.member(ctx.info))


class SubscriptionEvents(sdk.SubscriptionEventHandler):
    """What happens to one client-side subscription."""

    def __init__(self, driven: Driven, channel: str) -> None:
        self._driven = driven
        self._channel = channel

    def _say(self, event: str, **fields: Any) -> None:
        self._driven.say(event, side="client", channel=self._channel, **fields)

    async def on_subscribing(self, ctx: sdk.SubscribingContext) -> None:
        self._say("subscribing", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx: sdk.SubscribedContext) -> None:
        self._driven.subscribed("client", ctx)

    async def on_unsubscribed(self, ctx: sdk.UnsubscribedContext) -> None:
        self._say("unsubscribed", code=ctx.code)

    async def on_publication(self, ctx: sdk.PublicationContext) -> None:
        self._say("publication", **self._driven.publication(ctx.pub))

    async def on_join(self, ctx: sdk.JoinContext) -> None:
        self._say("join", **self._driven.member(ctx.info))

    async def on_leave(self, ctx: sdk.LeaveContext) -> None:
        self._say("leave", **self._driven.member(ctx.info))

    async def on_error(self, ctx: sdk.SubscriptionErrorContext) -> None:
        self._say("error", code=ctx.code, message=str(ctx.error))
