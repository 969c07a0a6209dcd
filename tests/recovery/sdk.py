"""A client as the SDKs of the Centrifuge protocol are, for the tests: what it keeps, and how it comes back.

It shares no code with the library: JSON is read by the standard library, Protobuf from a table of its own.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.differential import protobuf
from tests.protocol.fossil import apply_delta

from hubbub import Goodbye
from hubbub.errors import Disconnect, Slow
from hubbub.hub.transport import Framing, Peer, Policy, Transport
from hubbub.protocol.publication import Payload

BACKOFF = 1.0
"""Seconds until a client that was disconnected comes back, or tries again."""
QUEUE = 12
"""Messages that wait for a slow reader before it is given up."""


class Frames(Framing):
    """A batch is its messages."""

    def join(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        return tuple(payloads)


FRAMES = Frames()


class Wire(Transport):
    """A connection: what is pushed arrives one message in a turn, or not while the reader is slow."""

    framing = FRAMES

    def __init__(self, on_message: Callable[[Payload], None], on_close: Callable[[int, str], None]) -> None:
        self.slow = False
        self.peer: Peer | None = None
        self._on_message = on_message
        self._on_close = on_close
        self._queue: list[Payload | tuple[int, str]] = []
        self._moving = False
        self._over = False
        """Nothing goes out any more."""
        self._gone = False
        """Nothing arrives any more."""

    def attach(self, peer: Peer, policy: Policy) -> None:
        self.peer = peer

    def push(self, batch: tuple[Payload, ...]) -> None:
        if self._over:
            return
        self._queue += batch
        if self.slow and len(self._queue) > QUEUE:
            self.give_up(Slow("the peer does not read"))
        self._move()

    async def send(self, batch: tuple[Payload, ...]) -> None:
        self.push(batch)

    def close(self, code: int, reason: str) -> None:
        if not self._over:
            self._over = True
            self._queue.append((code, reason))
            self._move()

    def hang_up(self) -> None:
        self.close(1006, "")

    def abort(self) -> None:
        self._over = True
        self._queue = [(1006, "")]
        self._move()

    def give_up(self, fault: Disconnect) -> None:
        assert self.peer is not None
        self.peer.on_fault(fault)

    async def serve(self) -> None:
        """Nothing to wait for."""

    async def settle(self) -> None:
        """Nothing to wait for."""

    # What happens on the way

    def says(self, frame: Payload) -> None:
        """The client sends; it arrives in the next turn."""
        asyncio.get_running_loop().call_soon(self._arrive, frame)

    def _arrive(self, frame: Payload) -> None:
        if not self._gone and self.peer is not None:
            self.peer.on_messages((frame,), 1, len(frame))

    def cut(self, noticed_after: float) -> None:
        """The connection is gone for the client now, with what is on its way; the server notices later."""
        self._gone = True
        self._queue.clear()
        if noticed_after:
            asyncio.get_running_loop().call_later(noticed_after, self._lose)
        else:
            self._lose()

    def _lose(self) -> None:
        if not self._over:
            self._over = True
            assert self.peer is not None
            self.peer.on_lost(Goodbye(1006, "", "peer"))

    def flow(self) -> None:
        """The reader reads again."""
        self.slow = False
        self._move()

    def _move(self) -> None:
        if self._queue and not self._moving and (not self.slow or self._queue[0] == (1006, "")):
            self._moving = True
            asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        self._moving = False
        if not self._queue or self._gone:
            return
        message = self._queue.pop(0)
        if isinstance(message, tuple):
            self._gone = True
            self._on_close(*message)
        else:
            self._on_message(message)
        self._move()


class Want(NamedTuple):
    """A channel that a client subscribes to, and what it asks for there."""

    channel: str
    delta: bool = False
    language: str = ""
    """Only publications with this tag; empty: all."""
    recoverable: bool = False
    strict: bool = False
    """To be told where it cannot be recovered, by error 112."""


class Got(NamedTuple):
    """A publication as the client's application got it."""

    offset: int
    value: Any
    text: str | None
    """What was published to the letter, where the client can know that."""
    tags: dict[str, str]


class Stretch:
    """What an application got without being told of a loss: from a position on, or (``exact`` is not set) anyhow."""

    def __init__(self, channel: str, want: Want | None, offset: int, epoch: str, *, exact: bool) -> None:
        self.channel = channel
        self.language = want.language if want is not None else ""
        self.offset: int | None = offset
        """None where the client cannot know: from what it gets first."""
        self.epoch = epoch
        self.exact = exact
        self.got: list[Got] = []


class Subscription:
    """What an SDK knows of one channel."""

    def __init__(self, channel: str, want: Want | None) -> None:
        self.channel = channel
        self.want = want
        """None for one that the server made."""
        self.state = "subscribing"
        self.recoverable = False
        self.offset = 0
        self.epoch = ""
        self.delta = False
        self.base: bytes | None = None
        self.stretches: list[Stretch] = []
        self.awaits = 0
        """The number of the command whose answer counts."""
        self.asked_at = 0.0
        self.asked: tuple[int, str] | None = None
        """The position that it asked to recover from."""
        self.members: dict[str, bool] = {}
        """Whether the last that was told of a member is that it came."""


class Unrecovered(NamedTuple):
    """A client was told that it cannot get what it missed."""

    channel: str
    since: tuple[int, str]
    top: tuple[int, str] | None
    asked_at: float
    answered_at: float


class Sdk:
    """One client, and the application behind it, which notes all it gets in stretches."""

    def __init__(
        self, connect: Callable[["Sdk", Wire], Any], name: str, wants: Sequence[Want], *, binary: bool, own: str = ""
    ) -> None:
        self._connect = connect
        self.name = name
        self.binary = binary
        self.own = own
        """The channels that the server puts it in, separated by commas."""
        self.session: Any = None
        self.state = "disconnected"
        self.subscriptions: dict[str, Subscription] = {want.channel: Subscription(want.channel, want) for want in wants}
        self.server_side: dict[str, Subscription] = {}
        self.taken_out: set[str] = set()
        """The channels that the server has taken it from at any time."""
        self.unrecovered: list[Unrecovered] = []
        self.disturbed = 0
        """How often it was told that something is missing."""
        self.stretches: list[Stretch] = []
        """All that there have been."""
        self._wire: Wire | None = None
        self._pending: dict[int, tuple[str, Any]] = {}
        self._number = 0
        self._coming: asyncio.TimerHandle | None = None

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # The connection

    def come(self) -> None:
        """Connects, if it is not connected or about to be."""
        if self.state != "disconnected":
            return
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None
        self.state = "connecting"
        wire = self._wire = Wire(
            lambda message: self._on_message(wire, message), lambda code, reason: self._on_close(wire, code, reason)
        )
        self.session = self._connect(self, wire)
        self._pending = {}
        subs = {
            channel: {"recover": True, "offset": one.offset, "epoch": one.epoch}
            for channel, one in self.server_side.items()
            if one.recoverable
        }
        for channel in subs:
            self._asks(self.server_side[channel], recover=True)
        connect = {"token": f"{self.name} {self.own}", "subs": subs}
        commands = [self._command("connect", connect, None)]
        for one in self.subscriptions.values():
            if one.state != "unsubscribed":
                one.state = "subscribing"
                commands.append(self._subscribe_command(one))
        self._send(commands)

    def cut(self, noticed_after: float) -> None:
        """Its connection breaks."""
        if self._wire is not None:
            self._wire.cut(noticed_after)
            self._disconnected()

    def leave(self) -> None:
        """It goes, for good."""
        self.cut(0.0)
        self.state = "gone"
        if self._coming is not None:
            self._coming.cancel()

    def stall(self) -> None:
        """It reads no more."""
        if self._wire is not None:
            self._wire.slow = True

    def flow(self) -> None:
        """It reads again."""
        if self._wire is not None:
            self._wire.flow()

    def _on_close(self, wire: Wire, code: int, reason: str) -> None:
        assert code in (1006, 3004, 3008, 3010, 3012), f"{self.name} was disconnected with {code} {reason}"
        self.disturbed += code == 3010
        if wire is self._wire:
            self._disconnected()

    def _disconnected(self) -> None:
        self._wire = None
        self.state = "disconnected"
        for one in self.subscriptions.values():
            if one.state == "subscribed":
                one.state = "subscribing"
            one.members.clear()
        self._coming = asyncio.get_running_loop().call_later(BACKOFF, self.come)

    def _command(self, method: str, request: dict[str, Any], about: Any) -> dict[str, Any]:
        self._number += 1
        self._pending[self._number] = (method, about)
        return {"id": self._number, method: request}

    def _send(self, commands: Sequence[dict[str, Any]]) -> None:
        assert self._wire is not None
        text = "\n".join(map(json.dumps, commands))
        self._wire.says(protobuf.commands(text) if self.binary else text)

    # Subscriptions

    def _asks(self, one: Subscription, *, recover: bool) -> None:
        one.asked_at = self._now
        one.asked = (one.offset, one.epoch) if recover else None

    def _subscribe_command(self, one: Subscription) -> dict[str, Any]:
        want = one.want
        assert want is not None
        recover = one.recoverable
        self._asks(one, recover=recover)
        request: dict[str, Any] = {"channel": one.channel, "flag": 3 if want.strict else 1}
        if recover:
            request |= {"recover": True, "offset": one.offset, "epoch": one.epoch}
        if want.delta:
            request["delta"] = "fossil"
        if want.language:
            request["tf"] = {"key": "lang", "cmp": "eq", "val": want.language}
        if want.recoverable:
            request |= {"recoverable": True, "positioned": True}
        command = self._command("subscribe", request, one)
        one.awaits = command["id"]
        return command

    def unsubscribe(self, channel: str) -> None:
        """The application ends a subscription."""
        one = self.subscriptions.get(channel)
        if one is not None:
            if self._wire is not None and one.state != "unsubscribed":
                self._send([self._command("unsubscribe", {"channel": channel}, one)])
            one.state = "unsubscribed"

    def subscribe(self, channel: str, *, afresh: bool = False) -> None:
        """The application subscribes anew: from where it was, or as if it had never been there."""
        one = self.subscriptions.get(channel)
        if one is None or one.state != "unsubscribed":
            return
        if afresh:
            one.recoverable = False
        one.state = "subscribing"
        if self._wire is not None:
            self._send([self._subscribe_command(one)])

    def resubscribe(self, channel: str, *, afresh: bool) -> None:
        """Unsubscribes and subscribes in one message."""
        one = self.subscriptions.get(channel)
        if one is None or self.state != "connected" or one.state != "subscribed":
            return
        commands = [self._command("unsubscribe", {"channel": channel}, one)]
        if afresh:
            one.recoverable = False
        one.state = "subscribing"
        self._send([*commands, self._subscribe_command(one)])

    # What comes

    def _on_message(self, wire: Wire, message: Payload) -> None:
        if wire is self._wire:
            for reply in read(message, binary=self.binary):
                if wire is self._wire:
                    self._on_reply(reply)

    def _on_reply(self, reply: dict[str, Any]) -> None:
        if not reply:
            self._send([{}])
            return
        if "push" in reply:
            self._on_push(reply["push"])
            return
        method, about = self._pending.pop(reply["id"])
        if "error" in reply:
            if method != "subscribe" or (about.state == "subscribing" and about.awaits == reply["id"]):
                self._on_error(method, about, reply["error"])
        elif method == "connect":
            self._on_connect(reply["connect"])
        elif method == "subscribe" and about.state == "subscribing" and about.awaits == reply["id"]:
            self._on_subscribed(about, reply["subscribe"])

    def _on_connect(self, result: dict[str, Any]) -> None:
        self.state = "connected"
        subs = result.get("subs", {})
        before, self.server_side = self.server_side, {}
        for channel, subscribed in subs.items():
            one = self.server_side[channel] = before.get(channel) or Subscription(channel, None)
            self._on_subscribed(one, subscribed)

    def _on_error(self, method: str, about: Any, error: dict[str, Any]) -> None:
        if method == "subscribe" and error["code"] == 112:
            assert about.asked is not None
            assert about.want.strict
            self.unrecovered.append(Unrecovered(about.channel, about.asked, None, about.asked_at, self._now))
            about.recoverable = False
            self._send([self._subscribe_command(about)])
        elif method == "subscribe" and error["code"] == 103 and about.channel in self.taken_out:
            about.state = "unsubscribed"  # it was on its way then
        else:
            raise AssertionError(f"{self.name}: {method} of {about and about.channel} failed: {error}")

    def _on_subscribed(self, one: Subscription, result: dict[str, Any]) -> None:
        one.state = "subscribed"
        one.recoverable = result.get("recoverable", False)
        one.delta = result.get("delta", False)
        one.base = None
        one.members.clear()
        offset, epoch = result.get("offset", 0), result.get("epoch", "")
        publications = result.get("publications", [])
        if not result.get("positioned"):
            assert not publications
            self._begin(one, 0, "", exact=False)
        elif result.get("recovered"):
            if one.channel.startswith(("cache:", "auto:")):
                if publications:
                    assert len(publications) == 1
                    self._begin(one, publications[0]["offset"] - 1, epoch, exact=True)
                elif one.want is not None and one.want.language:
                    self._begin(one, offset, epoch, exact=True)  # the newest is left out
                    one.stretches[-1].offset = None
                else:
                    assert (one.offset, one.epoch) == (offset, epoch) == one.asked
            else:
                assert one.asked == (offset, epoch), "recovered from elsewhere"
        else:
            assert not publications
            if one.asked is not None:
                assert result.get("was_recovering")
                told = Unrecovered(one.channel, one.asked, (offset, epoch), one.asked_at, self._now)
                self.unrecovered.append(told)
            self._begin(one, offset, epoch, exact=True)
        one.asked = None
        for publication in publications:
            self._on_publication(one, publication)

    def _begin(self, one: Subscription, offset: int, epoch: str, *, exact: bool) -> None:
        one.offset, one.epoch = offset, epoch
        stretch = Stretch(one.channel, one.want, offset, epoch, exact=exact)
        one.stretches.append(stretch)
        self.stretches.append(stretch)

    def _on_push(self, push: dict[str, Any]) -> None:
        channel = push.get("channel", "")
        one = self.subscriptions.get(channel) or self.server_side.get(channel)
        if "subscribe" in push:
            self._on_server_subscribed(channel, push["subscribe"])
        elif "unsubscribe" in push:
            self._on_unsubscribed(channel, push["unsubscribe"]["code"])
        elif one is None:
            raise AssertionError(f"{self.name} gets {push} from a channel where it is not")
        elif one.state == "subscribed":
            if "pub" in push:
                self._on_publication(one, push["pub"])
            else:
                kind = "join" if "join" in push else "leave"
                one.members[push[kind]["info"]["client"]] = kind == "join"

    def _on_server_subscribed(self, channel: str, told: dict[str, Any]) -> None:
        one = self.server_side[channel] = Subscription(channel, None)
        one.state = "subscribed"
        one.recoverable = told.get("recoverable", False)
        self._begin(one, told.get("offset", 0), told.get("epoch", ""), exact=told.get("positioned", False))

    def _on_unsubscribed(self, channel: str, code: int) -> None:
        self.disturbed += code == 2500
        one = self.subscriptions.get(channel)
        if one is None:
            self.server_side.pop(channel, None)
        elif one.state == "subscribed":  # else it is about a subscription of before
            if code >= 2500:
                one.state = "subscribing"
                self._send([self._subscribe_command(one)])
            else:
                one.state = "unsubscribed"

    def _on_publication(self, one: Subscription, publication: dict[str, Any]) -> None:
        value, text = publication["data"], None
        if self.binary or one.delta:
            data = value.encode()
            if publication.get("delta"):
                assert one.delta
                assert one.base is not None, f"{self.name} has nothing that this delta is made against: {publication}"
                data = apply_delta(one.base, data)
            one.base = data
            text = data.decode()
            value = json.loads(text)
        offset = publication.get("offset", 0)
        if offset:
            one.offset = offset
            one.epoch = publication.get("epoch", one.epoch)
        one.stretches[-1].got.append(Got(offset, value, text, publication.get("tags", {})))


_REPEATED = ("publications",)
_MAPS = ("tags", "subs")


def read(message: Payload, *, binary: bool) -> Iterator[dict[str, Any]]:
    """The replies in a message; those of Protobuf as JSON has them."""
    if not binary:
        assert isinstance(message, str)
        yield from map(json.loads, message.split("\n"))
        return
    assert isinstance(message, bytes)
    replies, rest = protobuf.split(message)
    assert rest == b""
    for reply in replies:
        yield json.loads(protobuf.decode("Reply", reply), object_pairs_hook=_fields)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in _REPEATED:
            fields.setdefault(name, []).append(value)
        elif name in _MAPS:
            fields.setdefault(name, {}).update(value)
        else:
            fields[name] = value
    return fields
