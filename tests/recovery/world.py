"""A hub, a bad network and clients on it; and what each client is owed, in the end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.recovery.sdk import Sdk, Want, Wire
from tests.recovery.unreliable import Unreliable

from hubbub import Broker, Grant, Identity, Publication, Settings
from hubbub.auth.base import Auth
from hubbub.channels import Pattern, Rules
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.stream import STREAM
from hubbub.hub.registry import Registry
from hubbub.hub.session import Link, Session
from hubbub.protocol.codecs import JSON, PROTOBUF

_JSON = Link("websocket", JSON)
_PROTOBUF = Link("websocket", PROTOBUF)

TTL = 20.0
LONG = 60.0
"""Seconds in which everything that is under way has arrived."""
LANGUAGES = ("en", "fr")
OWN = ("log:own", "cache:own")
"""Channels that only the server puts clients in."""

Sleep = Callable[[float], Awaitable[None]]


class Plan(NamedTuple):
    """One client: what it subscribes to, and where the server puts it."""

    wants: tuple[Want, ...] = ()
    binary: bool = False
    own: tuple[str, ...] = ()


class Setup(NamedTuple):
    """What stays the same through one history."""

    plans: tuple[Plan, ...]
    delays: tuple[float, ...] = (0.0,)
    size: int = 4
    limit: int = 3
    members: bool = False


class Names(Auth):
    """Takes the token for what it says: a user, and the channels that the server puts it in."""

    async def authenticate(self, token: str) -> Identity:
        user, _, channels = token.partition(" ")
        return Identity(user, subscriptions={name: Grant() for name in channels.split(",") if name})

    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        return Grant()


def rules_of(setup: Setup) -> dict[str, Rules]:
    """The channels: all that they have in common, and what each does otherwise."""
    common = Rules(
        history=setup.size,
        ttl=TTL,
        recovery="force",
        delta=True,
        tags_filter=True,
        presence=setup.members,
        join_leave="force" if setup.members else False,
        may_subscribe="everyone",
    )
    return {
        "log:{name}": common,
        "ask:{name}": common._replace(recovery=True),
        "cache:{name}": common._replace(recovery_mode="cache"),
        "auto:{name}": common._replace(recovery_mode="cache", auto_cache=True),
        "live:{name}": common._replace(history=0, recovery=False),
    }


class World:
    """The steps of a history, and the judgement at its end."""

    def __init__(self, setup: Setup, broker: Broker, sleep: Sleep) -> None:
        self.setup = setup
        self.truth: dict[str, dict[tuple[int, str], Publication]] = {}
        """What was published to channels with a history, by position."""
        self.said: dict[str, list[Publication]] = {}
        """What was published, whether there is a history or not."""
        self.broker = Unreliable(broker, setup.delays, self._note)
        self._sleep = sleep
        self.troubled = False
        """Whether deliveries were lost, or channels forgotten."""
        self._published = 0
        self._publishing: set[asyncio.Task[Any]] = set()
        registry = Registry(Names())
        for pattern, rules in rules_of(setup).items():
            registry.catalogue.add(Declaration(Pattern(pattern), rules, STREAM))
        settings = Settings.load(max_recovered_publications=setup.limit)
        self.engine = Engine(self.broker, settings, registry)
        self.clients = [
            Sdk(self._open, f"user-{number}", plan.wants, binary=plan.binary, own=",".join(plan.own))
            for number, plan in enumerate(setup.plans)
        ]

    def _open(self, client: Sdk, wire: Wire) -> Session:
        self.engine.admission.enter("")
        session = Session(self.engine, _PROTOBUF if client.binary else _JSON, wire, "", None)
        self.engine.sessions.open(session)
        wire.attach(session, self.engine.session_policy)
        return session

    def _note(self, channel: str, publication: Publication) -> None:
        known = self.truth.setdefault(channel, {})
        position = (publication.offset, publication.epoch)
        assert known.setdefault(position, publication).data == publication.data, f"two publications at {position}"

    async def start(self) -> None:
        await self.engine.start()
        for client in self.clients:
            client.come()

    # Steps

    def publish(self, channel: str, count: int = 1, language: str = "") -> None:
        """Publishes, without waiting for the broker."""
        for _ in range(count):
            self._published += 1
            number = self._published
            value = {"n": number, "text": "Grüße " * 12, "last": number % 3}
            self.said.setdefault(channel, []).append(Publication(json.dumps(value), tags={"lang": language}))
            tags = {"lang": language} if language else None
            task = asyncio.ensure_future(self.engine.publish(channel, value, tags=tags))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    def act(self, action: str, number: int, *given: Any) -> Awaitable[None] | None:
        """What one client does, or has done to it; nothing where that is not possible."""
        client = self.clients[number % len(self.clients)]
        match action, *given:
            case "cut", noticed_after:
                client.cut(noticed_after)
            case "come":
                client.come()
            case "stall":
                client.stall()
            case "flow":
                client.flow()
            case "subscribe", channel, afresh:
                client.subscribe(channel, afresh=afresh)
            case "resubscribe", channel, afresh:
                client.resubscribe(channel, afresh=afresh)
            case "unsubscribe", channel:
                client.unsubscribe(channel)
            case "take out", channel:
                client.taken_out.add(channel)
                self.engine.sessions.unsubscribe(client.name, channel)
            case "put in", channel if channel in OWN:
                return self.engine.sessions.subscribe(client.name, channel, Grant())
        return None

    # The end

    async def settle(self) -> None:
        """Ends all trouble, lets everybody come back, and publishes once more, so that a loss is noticed."""
        self.broker.calm()
        for client in self.clients:
            client.flow()
        await self._sleep(LONG)
        for client in self.clients:
            client.come()
            for channel in client.subscriptions:
                client.subscribe(channel)
        await self._sleep(LONG)
        channels = {want.channel for plan in self.setup.plans for want in plan.wants} | set(OWN)
        for language in LANGUAGES:
            for channel in sorted(channels):
                self.publish(channel, language=language)
            await self._sleep(5.0)  # a loss that shows only now is recovered
        await self._sleep(5.0)
        assert not self._publishing

    async def judge(self) -> None:
        """Whether every client got what it is owed."""
        for client in self.clients:
            assert client.state == "connected", f"{client.name} is {client.state}"
            believed = {*client.subscriptions, *client.server_side}
            assert believed == set(client.session.subscriptions), f"{client.name} believes to be in {believed}"
            for one in (*client.subscriptions.values(), *client.server_side.values()):
                assert one.state == "subscribed", f"{client.name} is {one.state} in {one.channel}"
                await self._judge_end(client, one)
            for stretch in client.stretches:
                self._judge_stretch(client.name, stretch)
            for told in client.unrecovered:
                self._judge_loss(client.name, told)
            assert not client.disturbed or self.troubled, f"{client.name} was told of a loss, and there was none"
        await self._judge_presence()

    async def _judge_end(self, client: Sdk, one: Any) -> None:
        stretch = one.stretches[-1]
        if stretch.exact and (stretch.got or stretch.offset is not None):
            _, top = await self.broker.kept.history(one.channel)
            last = stretch.got[-1].offset if stretch.got else None
            owed = [at for at, _ in self._owed(stretch)]
            assert (owed[-1] if owed else None) == last, (
                f"{client.name} stands at {last} of {one.channel}; owed up to {top}: {owed}"
            )
            assert one.epoch == top.epoch

    def _owed(self, stretch: Any) -> list[tuple[int, Publication]]:
        """What comes after the beginning of a stretch, in its epoch and by its filter."""
        truth = self.truth.get(stretch.channel, {})
        start = stretch.offset
        if start is None:
            start = stretch.got[0].offset - 1 if stretch.got else 0
        return sorted(
            (offset, publication)
            for (offset, epoch), publication in truth.items()
            if epoch == stretch.epoch and offset > start and stretch.language in ("", publication.tags.get("lang"))
        )

    def _judge_stretch(self, name: str, stretch: Any) -> None:
        if stretch.exact:
            owed = self._owed(stretch)
            for got, (offset, publication) in zip(stretch.got, owed, strict=False):
                assert got.offset == offset, (
                    f"{name} got {[one.offset for one in stretch.got]} of {stretch.channel} after {stretch.offset}; "
                    f"owed: {[at for at, _ in owed]}"
                )
                self._judge_content(name, got, publication)
            assert len(stretch.got) <= len(owed), f"{name} got more of {stretch.channel} than there is"
            return
        said = [json.loads(one.data)["n"] for one in self.said.get(stretch.channel, [])]
        numbers = [got.value["n"] for got in stretch.got]
        if stretch.channel in self.broker.repeated:
            return  # without a position, nobody can tell
        assert len(set(numbers)) == len(numbers), f"{name} got something twice in {stretch.channel}: {numbers}"
        if all(delay == 0.0 for delay in self.setup.delays):  # else the broker orders them
            assert numbers == sorted(numbers)
        assert set(numbers) <= set(said)

    def _judge_content(self, name: str, got: Any, publication: Publication) -> None:
        assert isinstance(publication.data, str)
        assert got.value == json.loads(publication.data), f"{name} got something else than was published"
        assert got.text in (None, publication.data), f"{name} got it changed: {got.text!r}"
        assert got.tags == dict(publication.tags)

    def _judge_loss(self, name: str, told: Any) -> None:
        """Whether nothing could have been recovered when it was asked for."""
        offset, epoch = told.since
        for snapshot in self.broker.snapshots:
            if snapshot.channel != told.channel or not told.asked_at <= snapshot.at <= told.answered_at:
                continue
            top = snapshot.top
            if told.top not in (None, tuple(top)):
                continue
            if told.channel.partition(":")[0] in ("cache", "auto"):
                lost = top.offset not in snapshot.kept
            else:
                missed = range(offset + 1, top.offset + 1)
                lost = (
                    epoch not in ("", top.epoch)
                    or offset > top.offset
                    or len(missed) > self.setup.limit
                    or not snapshot.kept.issuperset(missed)
                )
            if lost:
                return
        raise AssertionError(f"{name} was told that {told} is lost, and all was there")

    async def _judge_presence(self) -> None:
        if not self.setup.members:
            return
        there: dict[str, set[str]] = {}
        for client in self.clients:
            for one in (*client.subscriptions.values(), *client.server_side.values()):
                there.setdefault(one.channel, set()).add(client.session.id)
        for channel, ids in there.items():
            assert set(await self.broker.members(channel)) == ids, f"wrong presence in {channel}"
        for client in self.clients:
            for one in (*client.subscriptions.values(), *client.server_side.values()):
                wrong = {member: came for member, came in one.members.items() if came != (member in there[one.channel])}
                assert not wrong, f"{client.name} believes in {one.channel}: {wrong}"

    async def end(self) -> None:
        """Everybody leaves, and nothing of them is left."""
        for client in self.clients:
            client.leave()
        await self._sleep(LONG)
        assert self.engine.fanout.channels() == {}
        assert self.broker.subscribed == set()
        assert len(self.engine.sessions) == 0
        await self.engine.stop()
