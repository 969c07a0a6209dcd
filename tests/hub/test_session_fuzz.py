"""No bytes from a client raise, leak or stall another; every violation ends the session with a documented code."""

import asyncio
import gc
import json
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.fuzz.frames import Frame, encode, frames
from tests.fuzz.peers import OneWayPeer, Peer, SocketPeer, StreamPeer
from tests.fuzz.site import DOCUMENTED, Complaints, declare, engine_of

from hubbub.hub.engine import Engine

FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "250")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

LINKS = ("websocket", "websocket", "http_stream", "sse", "uni_sse", "uni_websocket")
SUBSCRIBES: tuple[dict[str, Any], ...] = (
    {"channel": "room", "delta": "fossil"},
    {"channel": "kept:a"},
    {"channel": "board:a", "type": 1, "phase": 2},
    {"channel": "prices:a", "type": 4},
)

Step = tuple[str, Any]


class Story(NamedTuple):
    """One peer: how it comes, what it has done before, and what it does then."""

    link: str
    binary: bool
    begins: str
    steps: list[Step]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    link = draw(st.sampled_from(LINKS))
    binary = link in ("websocket", "http_stream") and draw(st.booleans())
    begins = draw(st.sampled_from(("connects", "connects", "subscribes", "subscribes", "is refused", "says nothing")))
    steps: st.SearchStrategy[Step] = st.one_of(
        st.tuples(st.just("says"), frames(binary=binary)),
        st.tuples(st.just("says"), frames(binary=binary)),
        st.tuples(st.just("waits"), st.sampled_from((0.5, 4.0, 13.0))),
        st.tuples(st.just("posts"), st.binary(max_size=40) | st.sampled_from((b"", b"{}", b'{"data":' + b"[" * 9999))),
        st.tuples(st.just("leaves"), st.none()),
    )
    return Story(link, binary, begins, draw(st.lists(steps, min_size=1, max_size=6)))


def first_frame(story: Story) -> Frame:
    """What a peer says first: all in one message, as SDKs do."""
    token = {"is refused": "expired"}.get(story.begins, "anna")
    batch: list[dict[str, Any]] = [{"id": 1, "connect": {"token": token}}]
    if story.begins == "subscribes":
        batch += [{"id": number, "subscribe": one} for number, one in enumerate(SUBSCRIBES, 2)]
    return Frame(encode(batch, binary=story.binary), tuple(command["id"] for command in batch))


def arrive(engine: Engine, story: Story) -> Peer:
    first = first_frame(story).data if story.begins != "says nothing" else ""
    match story.link:
        case "websocket":
            peer = SocketPeer(lambda: engine, binary=story.binary)
            if first:
                peer.says(first)
            return peer
        case "uni_websocket":
            return SocketPeer(lambda: engine, one_way=True)
        case "uni_sse":
            return OneWayPeer(lambda: engine, '{"token":"anna"}')
    return StreamPeer(lambda: engine, first or "{}", binary=story.binary, events=story.link == "sse")


class Neighbour:
    """A session that does nothing wrong. It answers pings, and must get what is published.

    It speaks what the other one speaks, since what is no JSON ends the sessions of JSON in its channel (3506).
    """

    def __init__(self, engine: Engine, *, binary: bool) -> None:
        self._engine = engine
        self._peer = SocketPeer(lambda: engine, binary=binary)
        self._binary = binary
        self._published = 0
        self._pings = 0
        batch = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "room"}}]
        self._peer.says(encode(batch, binary=binary))

    async def hears(self) -> None:
        """Publishes something, and fails unless it arrives without time passing."""
        self._published += 1
        await self._engine.publish("room", {"server": self._published})
        await ticks(20)
        heard = [
            data["server"]
            for reply in self._peer.replies()
            if isinstance(data := self._data(reply), dict) and "server" in data
        ]
        assert heard == list(range(1, self._published + 1)), f"the neighbour heard {heard}; {self._peer.code}"
        self.answers_pings()

    def _data(self, reply: dict[str, Any]) -> Any:
        data = reply.get("push", {}).get("pub", {}).get("data")
        try:
            return json.loads(data) if self._binary and isinstance(data, str) else data
        except (ValueError, RecursionError):
            return None

    def answers_pings(self) -> None:
        pings = sum(not reply for reply in self._peer.replies())
        for _ in range(self._pings, pings):
            self._peer.says(b"\x00" if self._binary else "{}")
        self._pings = pings

    async def waits(self, seconds: float) -> None:
        """Lets time pass, and lives on."""
        for _ in range(int(seconds * 2)):
            await asyncio.sleep(0.5)
            self.answers_pings()
        await ticks(5)

    async def leaves(self) -> None:
        assert not self._peer.over
        self._peer.leaves()
        await self._peer.task


async def take(peer: Peer, neighbour: Neighbour, step: Step, sound: Counter[int]) -> None:
    match step:
        case "says", frame:
            if not peer.over:
                sound.update(frame.sound)
                peer.says(frame.data)
        case "waits", seconds:
            await neighbour.waits(seconds)
        case "posts", body if isinstance(peer, StreamPeer):
            peer.posts_body(body)
        case "leaves", _:
            peer.leaves()
    await peer.settle()
    await neighbour.hears()


async def play(story: Story) -> None:
    engine = engine_of(declare())
    await engine.start()
    neighbour = Neighbour(engine, binary=story.binary)
    await ticks(20)
    await neighbour.hears()
    known = set(engine.sessions._all)
    peer = arrive(engine, story)
    await peer.settle()
    sessions = [weakref.ref(session) for session in engine.sessions._all - known]
    sound: Counter[int] = Counter(first_frame(story).sound if story.link == "websocket" else ())
    gone = False
    for step in story.steps:
        await take(peer, neighbour, step, sound)
        gone = gone or step[0] == "leaves"
    await neighbour.waits(6.0)  # the slow methods end
    await peer.settle()
    judge_answers(story, peer, sound, gone=gone)
    peer.leaves()
    await neighbour.waits(20.0)
    await neighbour.hears()
    assert peer.task.done(), "the endpoint still runs"
    peer.task.result()
    del peer
    await judge_rest(engine, sessions)
    await neighbour.leaves()
    await engine.stop()


def judge_answers(story: Story, peer: Peer, sound: Counter[int], *, gone: bool) -> None:
    """Every command that is one was answered, or the session has ended with a documented code."""
    replies = peer.replies()
    for reply in replies:
        assert reply.get("error", {}).get("code") != 100, f"an internal error: {reply}"
    if peer.code is not None:
        assert peer.code in DOCUMENTED, f"ended with {peer.code}"
    elif not (gone or peer.over or peer.one_way or story.begins in ("is refused", "says nothing")):
        answered = Counter(reply["id"] for reply in replies if "id" in reply)
        assert sound <= answered, f"no answer to {sound - answered}"


async def judge_rest(engine: Engine, sessions: list["weakref.ref[Any]"]) -> None:
    """Nothing of the peer's session is left."""
    (neighbour,) = engine.sessions._all
    assert set(engine.sessions) == {neighbour}
    assert set(engine.alarms._of) <= {neighbour}
    assert set(engine.sessions._heartbeat._members) == {neighbour}
    assert engine.sessions._of_secret == {}
    assert engine.fanout.channels() == {"room": 1}
    assert engine.admission._total == 1
    assert not engine._chores
    assert not engine.turns.attempts
    assert not engine.turns._last
    for channel in ("room", "door:a"):
        assert set(await engine.members(channel)) <= {neighbour.id}
    assert engine.policy.backlog.total == 0
    del neighbour
    gc.collect()
    assert [one() for one in sessions if one() is not None] == [], "a session is still held"


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    """What is there before is not looked at each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@FUZZ
@given(stories())
def test_whatever_a_peer_says_it_is_answered_or_ended_and_nobody_else_notices(story: Story) -> None:
    with Complaints() as complaints:
        with Clock() as clock:
            clock.run(play(story))
        assert [record.getMessage() for record in complaints.records] == []
