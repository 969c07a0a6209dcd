"""Getting into a channel: what arrives while the broker is asked is neither lost nor told before the answer."""

import asyncio
from typing import Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.sessions import Guest, SessionStage, SlowBroker

from hubbub import Grant, Member, Position, Publication
from hubbub.errors import ForceDisconnect
from hubbub.hub.engine import Engine
from hubbub.protocol.publication import Json, Presence


class Steps(SlowBroker):
    """A slow broker into whose deliveries the test can put what it likes."""

    def tell(self, event: Publication | Presence, channel: str = "room") -> None:
        assert self._deliver is not None
        self._deliver(channel, event)


def kept(offset: int, epoch: str) -> Publication:
    return Publication(Json(f"{offset}"), offset, epoch)


async def opened(**rules: Any) -> tuple[SessionStage, Steps, Guest]:
    broker = Steps()
    stage = await SessionStage.open(broker=broker, session_pong_timeout=3600, leave_grace=60)
    stage.channel("room", **rules)
    return stage, broker, await stage.enter("anna")


async def epoch_of(engine: Engine) -> str:
    return (await engine.history("room", None, 0))[1].epoch


def test_what_comes_while_the_broker_is_asked_comes_behind_the_answer(clock: Clock) -> None:
    async def scenario() -> None:
        _, broker, guest = await opened(presence=True)
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(0.5)
        broker.tell(Publication(Json("0")))  # before the broker has said that it is subscribed: too early to be sure of
        await asyncio.sleep(1)
        for text in ("1", "2"):
            broker.tell(Publication(Json(text)))
        await ticks(3)
        assert guest.take() == []
        await asyncio.sleep(1)
        broker.tell(Publication(Json("3")))
        await ticks(3)
        answer, *pushes = guest.take()
        assert answer == {"id": 2, "subscribe": {}}
        assert [one["push"]["pub"]["data"] for one in pushes] == [1, 2, 3]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("offsets", "heard"), [([], []), ([1, 2, 3], []), ([2, 3, 4, 5], [4, 5]), ([4], [4]), ([3, 3, 4, 4], [4])]
)
def test_what_the_answer_has_is_not_told_again(clock: Clock, offsets: list[int], heard: list[int]) -> None:
    async def scenario() -> None:
        stage, broker, guest = await opened(history=10, positioning="force")
        for _ in range(3):
            await stage.engine.publish("room", 0)
        epoch = await epoch_of(stage.engine)
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(1.5)
        for offset in offsets:
            broker.tell(kept(offset, epoch))
        broker.tell(Publication(Json('"not kept"')))
        await asyncio.sleep(3)
        answer, *pushes = guest.take()
        assert answer["subscribe"]["offset"] == 3
        assert [one["push"]["pub"].get("offset") for one in pushes] == [*heard, None], "what is not kept is not counted"

    clock.run(scenario())


@pytest.mark.parametrize("after", [(5, "own"), (4, "another"), (1, "another")])
def test_a_gap_behind_the_answer_ends_the_session(clock: Clock, after: tuple[int, str]) -> None:
    async def scenario() -> None:
        stage, broker, guest = await opened(history=10, positioning="force", presence=True)
        for _ in range(3):
            await stage.engine.publish("room", 0)
        offset, epoch = after
        own = await epoch_of(stage.engine)
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(1.5)
        broker.tell(kept(offset, own if epoch == "own" else epoch))
        await asyncio.sleep(5)
        assert guest.closed == (3010, "insufficient state")
        assert stage.engine.fanout.channels() == {}
        assert await stage.engine.members("room") == {}

    clock.run(scenario())


@pytest.mark.parametrize("push", [True, False])
def test_who_came_and_left_meanwhile_is_told_to_those_who_want_to_know(clock: Clock, *, push: bool) -> None:
    async def scenario() -> None:
        _, broker, guest = await opened(presence=True, join_leave="force" if push else True)
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(1.5)
        broker.tell(Presence(Member("bert", "c2"), joined=True))
        await asyncio.sleep(5)
        joined = [one["push"]["join"]["info"]["user"] for one in guest.take()[1:]]
        assert joined == (["bert", "anna"] if push else [])

    clock.run(scenario())


def test_a_broker_whose_deliveries_lag_behind_its_history_repeats_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        stage, broker, guest = await opened(history=10, recovery="force")
        other = await stage.enter("bert")
        other.begin(subscribe={"channel": "room"})
        await asyncio.sleep(5)
        other.take()
        epoch = await epoch_of(stage.engine)
        deliver, broker._deliver = broker._deliver, lambda channel, event: None
        for _ in range(3):  # which are in the history, and on their way
            await stage.engine.publish("room", 0)
        broker._deliver = deliver
        guest.begin(subscribe={"channel": "room", "recover": True, "epoch": epoch})
        await asyncio.sleep(5)
        (answer,) = guest.take()
        assert [one["offset"] for one in answer["subscribe"]["publications"]] == [1, 2, 3]
        for offset in (1, 2, 3, 4):
            broker.tell(kept(offset, epoch))
            await ticks(3)
        assert [push["pub"]["offset"] for push in guest.pushes()] == [4]
        assert [push["pub"]["offset"] for push in other.pushes()] == [1, 2, 3, 4]

    clock.run(scenario())


def test_who_has_read_further_than_was_delivered_loses_what_never_comes(clock: Clock) -> None:
    async def scenario() -> None:
        stage, broker, guest = await opened(history=10, recovery="force")
        epoch = await epoch_of(stage.engine)
        deliver, broker._deliver = broker._deliver, lambda channel, event: None
        for _ in range(3):
            await stage.engine.publish("room", 0)
        broker._deliver = deliver
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(5)
        guest.take()
        broker.tell(kept(5, epoch))
        await ticks(3)
        assert [push.get("unsubscribe", {}).get("code") for push in guest.pushes()] == [2500]

    clock.run(scenario())


SEEN: list[dict[str, Any]] = [
    {},
    {"presence": True},
    {"join_leave": "force"},
    {"presence": True, "join_leave": "force"},
]


@pytest.mark.parametrize(
    ("seen", "seconds"), [*((seen, 0.5) for seen in SEEN), *((seen, 1.5) for seen in SEEN if "presence" in seen)]
)
def test_an_entry_that_is_abandoned_leaves_nothing(clock: Clock, seen: dict[str, Any], seconds: float) -> None:
    async def scenario() -> None:
        stage, _, guest = await opened(history=10, positioning="force", **seen)
        listener = await stage.enter("bert")
        listener.begin(subscribe={"channel": "room"})
        await asyncio.sleep(10)
        listener.take()
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(seconds)
        guest.session.end(ForceDisconnect())
        await asyncio.sleep(10)
        assert stage.engine.fanout.channels() == {"room": 1}
        assert guest.session.id not in await stage.engine.members("room")
        assert listener.pushes() == [], "nobody hears of who was never there"

    clock.run(scenario())


@pytest.mark.parametrize("seen", SEEN)
def test_who_leaves_is_seen_no_more_and_that_is_told_where_its_coming_was(clock: Clock, seen: dict[str, Any]) -> None:
    async def scenario() -> None:
        stage, _, guest = await opened(**seen)
        listener = await stage.enter("bert")
        for one in (listener, guest):
            one.begin(subscribe={"channel": "room"})
            await asyncio.sleep(10)
        assert (guest.session.id in await stage.engine.members("room")) == ("presence" in seen)
        listener.take()
        guest.session.unsubscribe("room")
        await asyncio.sleep(10)
        assert guest.session.id not in await stage.engine.members("room")
        assert stage.engine.fanout.channels() == {"room": 1}
        assert [list(push) for push in listener.pushes()] == [["channel", "leave"]] * ("join_leave" in seen)

    clock.run(scenario())


def test_a_broker_that_fails_leaves_nothing_and_the_session_goes_on(clock: Clock) -> None:
    class Failing(Steps):
        async def enter(self, channel: str, member: Member) -> None:
            raise ConnectionError("the broker is gone")

    async def scenario() -> None:
        stage = await SessionStage.open(broker=Failing())
        stage.channel("room", presence=True)
        guest = await stage.enter()
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(5)
        assert guest.take()[0]["error"]["code"] == 100
        assert stage.engine.fanout.channels() == {}
        assert guest.session.subscriptions == {}

    clock.run(scenario())


def test_a_server_side_subscription_that_the_client_makes_meanwhile_is_there_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage, _, guest = await opened(history=10, recovery="force", presence=True)
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(0.5)
        await guest.session.subscribe("room", Grant(), Position(0, ""))
        await asyncio.sleep(10)
        assert set(guest.session.subscriptions) == {"room"}
        assert stage.engine.fanout.channels() == {"room": 1}
        assert list(await stage.engine.members("room")) == [guest.session.id]
        await stage.engine.publish("room", 1)
        await ticks(3)
        assert len([push for push in guest.pushes() if "pub" in push]) == 1

    clock.run(scenario())
