"""Fan-out: everyone gets exactly what was delivered while he was in the room, once and in order."""

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from centrifuge.fossil import apply_delta
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport, TupleFraming

from hubbub.errors import Disconnect, InsufficientState, SlowSession, WrongProtocol
from hubbub.hub.encodings import HOLD, Encoding, Filtered, Held, deltas, plain, pushes
from hubbub.hub.fanout import Fanout
from hubbub.hub.transport import Transport
from hubbub.protocol.codecs import JSON, PROTOBUF
from hubbub.protocol.commands import FilterNode
from hubbub.protocol.filters import Filter
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Json, Member, Presence, Publication

BIG_SLICE = 1000


class Reacting(FakeTransport):
    """Does something whenever a batch comes, from within the push."""

    def __init__(self, reaction: Callable[[], object], encoding: TupleFraming | None = None) -> None:
        super().__init__(encoding)
        self.reaction = reaction

    def push(self, batch: tuple[str | bytes, ...]) -> None:
        super().push(batch)
        self.reaction()


class Broken(FakeTransport):
    """Cannot be written to."""

    def push(self, batch: tuple[str | bytes, ...]) -> None:
        raise OSError("broken pipe")


class PlainFanout(Fanout):
    """A fan-out to receivers that are written the data alone."""

    def __init__(self, slice_size: int) -> None:
        super().__init__(slice_size, on_gap=lambda channel, losers: None)

    def join(self, channel: str, receiver: FakeTransport, encoding: Encoding | None = None) -> bool:
        return super().join(channel, receiver, encoding or plain(receiver.framing))


def deliver(fanout: Fanout, *texts: str, channel: str = "lobby") -> None:
    for text in texts:
        fanout.deliver(channel, Publication(text))


def room_of(fanout: Fanout, count: int, channel: str = "lobby") -> list[FakeTransport]:
    encoding = TupleFraming()
    receivers = [FakeTransport(encoding) for _ in range(count)]
    for receiver in receivers:
        fanout.join(channel, receiver)
    return receivers


def test_every_receiver_sees_the_order_of_delivery(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=2)
        receivers = room_of(fanout, 5)
        for number in range(20):
            deliver(fanout, f"{number}")
            if number % 3 == 0:
                await ticks(1)
        await ticks(40)
        for receiver in receivers:
            assert receiver.received == [f"{number}" for number in range(20)]

    clock.run(scenario())


def test_publications_of_one_loop_iteration_are_one_push(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        (receiver,) = room_of(fanout, 1)
        deliver(fanout, "one", "two", "three")
        assert receiver.batches == [], "delivery itself writes nothing"
        await ticks()
        assert receiver.batches == [("one", "two", "three")]
        deliver(fanout, "four")
        await ticks()
        assert receiver.batches == [("one", "two", "three"), ("four",)]

    clock.run(scenario())


def test_a_wave_is_encoded_once_for_each_encoding(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=3)
        plain, squeezed = TupleFraming(), TupleFraming()
        receivers = [FakeTransport(encoding) for encoding in (plain, squeezed) * 10]
        for receiver in receivers:
            fanout.join("lobby", receiver)
        deliver(fanout, "one", "two")
        await ticks(20)
        assert (plain.joined, squeezed.joined) == (1, 1)
        assert {id(receiver.batches[0]) for receiver in receivers[::2]} == {id(receivers[0].batches[0])}
        assert all(receiver.received == ["one", "two"] for receiver in receivers)

    clock.run(scenario())


def test_an_encoding_that_nobody_in_the_room_has_costs_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        elsewhere = FakeTransport()
        fanout.join("elsewhere", elsewhere)
        receiver = FakeTransport()
        fanout.join("lobby", receiver)
        deliver(fanout, "one")
        await ticks()
        assert elsewhere.batches == []
        assert elsewhere.framing.joined == 0  # type: ignore[attr-defined]
        assert receiver.received == ["one"]

    clock.run(scenario())


def test_who_joins_later_in_the_same_iteration_does_not_get_what_was_delivered_before(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        early, late = FakeTransport(), FakeTransport()
        fanout.join("lobby", early)
        deliver(fanout, "before")
        fanout.join("lobby", late)
        deliver(fanout, "after")
        await ticks(2)
        assert early.received == ["before", "after"]
        assert late.received == ["after"]

    clock.run(scenario())


def test_who_leaves_gets_at_once_what_was_delivered_before_and_nothing_after(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        leaver, stayer = room_of(fanout, 2)
        deliver(fanout, "before")
        fanout.leave("lobby", leaver)
        assert leaver.received == ["before"]
        deliver(fanout, "after")
        await ticks(2)
        assert leaver.received == ["before"]
        assert stayer.received == ["before", "after"]

    clock.run(scenario())


def test_who_is_settled_has_got_all_and_gets_the_rest_once(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=3)
        receivers = room_of(fanout, 5)
        deliver(fanout, "one")
        await ticks()  # a wave is under way
        deliver(fanout, "two")
        late = FakeTransport()
        fanout.join("lobby", late)
        deliver(fanout, "three")
        for receiver in (*receivers, late, *receivers):
            assert fanout.settle("lobby", receiver) is None, "nothing is counted here"
            assert receiver.received == (["three"] if receiver is late else ["one", "two", "three"])
        deliver(fanout, "four")
        await ticks(20)
        assert [receiver.received[-2:] for receiver in (*receivers, late)] == [["three", "four"]] * 6
        assert all(len(receiver.received) == 4 for receiver in receivers)
        assert fanout.settle("lobby", FakeTransport()) is fanout.settle("nowhere", late) is None

    clock.run(scenario())


def test_who_leaves_and_comes_back_has_missed_only_what_was_delivered_in_between(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        receiver, _ = room_of(fanout, 2)
        deliver(fanout, "one")
        fanout.leave("lobby", receiver)
        deliver(fanout, "two")
        fanout.join("lobby", receiver)
        deliver(fanout, "three")
        await ticks(2)
        assert receiver.received == ["one", "three"]

    clock.run(scenario())


def test_who_joins_and_leaves_between_two_deliveries_gets_neither(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        room_of(fanout, 1)
        visitor = FakeTransport()
        deliver(fanout, "before")
        fanout.join("lobby", visitor)
        fanout.leave("lobby", visitor)
        deliver(fanout, "after")
        await ticks(2)
        assert visitor.received == []

    clock.run(scenario())


def test_who_joined_late_gets_everything_from_then_on_once(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        room_of(fanout, 1)
        late = FakeTransport()
        deliver(fanout, "before")
        fanout.join("lobby", late)
        deliver(fanout, "one")
        for text in ("two", "three", "four"):
            await ticks(2)
            deliver(fanout, text, f"{text} and a half")
        await ticks(2)
        assert late.received == ["one", "two", "two and a half", "three", "three and a half", "four", "four and a half"]

    clock.run(scenario())


@pytest.mark.parametrize("number", range(5))
def test_who_leaves_in_the_middle_of_a_large_fan_out_gets_at_once_what_it_is_owed(clock: Clock, number: int) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=3)
        receivers = room_of(fanout, 5)
        deliver(fanout, "one")
        await ticks()
        assert sum(bool(receiver.batches) for receiver in receivers) == 2
        deliver(fanout, "two")
        fanout.leave("lobby", receivers[number])
        assert receivers[number].received == ["one", "two"]
        deliver(fanout, "three")
        await ticks(20)
        assert receivers[number].received == ["one", "two"]
        assert all(
            receiver.received == ["one", "two", "three"] for receiver in receivers if receiver is not receivers[number]
        )

    clock.run(scenario())


def test_the_last_to_leave_gets_what_he_is_owed_and_the_room_is_gone(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        (receiver,) = room_of(fanout, 1)
        deliver(fanout, "one")
        assert fanout.leave("lobby", receiver) is True
        assert receiver.received == ["one"]
        assert fanout.receivers("lobby") == 0
        deliver(fanout, "two")
        await ticks(2)
        assert receiver.received == ["one"]

    clock.run(scenario())


def test_join_and_leave_tell_the_first_and_the_last(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        first, second = FakeTransport(), FakeTransport()
        assert fanout.join("lobby", first) is True
        assert fanout.join("lobby", second) is False
        assert fanout.receivers("lobby") == 2
        assert fanout.leave("lobby", first) is False
        assert fanout.leave("lobby", first) is False, "who is gone cannot be the last"
        assert fanout.leave("lobby", second) is True
        assert fanout.leave("lobby", second) is False
        assert fanout.leave("never", first) is False
        assert fanout.join("lobby", first) is True

    clock.run(scenario())


def test_rooms_are_apart(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        (here,) = room_of(fanout, 1, "here")
        (there,) = room_of(fanout, 1, "there")
        deliver(fanout, "one", channel="here")
        deliver(fanout, "two", channel="there")
        deliver(fanout, "three", channel="nowhere")
        await ticks(2)
        assert here.received == ["one"]
        assert there.received == ["two"]

    clock.run(scenario())


def test_a_large_fan_out_gives_the_event_loop_its_turn(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=10)
        receivers = room_of(fanout, 35)
        deliver(fanout, "one")
        reached = []
        for _ in range(5):
            await ticks()
            reached.append(sum(bool(receiver.batches) for receiver in receivers))
        assert reached == [9, 19, 29, 35, 35], "making the batch counts too"

    clock.run(scenario())


def test_many_small_rooms_share_a_slice(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=10)
        receivers = [room_of(fanout, 1, f"room-{number}")[0] for number in range(25)]
        for number in range(25):
            deliver(fanout, "one", channel=f"room-{number}")
        reached = []
        for _ in range(6):
            await ticks()
            reached.append(sum(bool(receiver.batches) for receiver in receivers))
        assert reached == [5, 10, 15, 20, 25, 25]

    clock.run(scenario())


def test_order_holds_when_publications_come_faster_than_slices(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=3)
        receivers = room_of(fanout, 7)
        for number in range(12):
            deliver(fanout, f"{number}")
            await ticks()
        assert any(len(receiver.received) < 12 for receiver in receivers), "the slices are behind by now"
        await ticks(60)
        assert all(receiver.received == [f"{number}" for number in range(12)] for receiver in receivers)

    clock.run(scenario())


def test_nothing_is_scheduled_when_nothing_is_under_way(clock: Clock) -> None:
    async def scenario() -> float:
        fanout = PlainFanout(BIG_SLICE)
        (receiver,) = room_of(fanout, 1)
        deliver(fanout, "one")
        started = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        assert receiver.received == ["one"]
        return asyncio.get_running_loop().time() - started

    # Work that rescheduled itself would keep the loop busy, and this clock would never get on.
    assert clock.run(scenario()) == pytest.approx(3600)


def test_a_receiver_that_raises_is_dropped_and_disturbs_nobody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        before, broken, after = FakeTransport(), Broken(), FakeTransport()
        for receiver in (before, broken, after):
            fanout.join("lobby", receiver)
        deliver(fanout, "one")
        await ticks()
        deliver(fanout, "two")
        await ticks()
        assert before.received == after.received == ["one", "two"]
        assert broken.aborted
        assert not before.aborted

    with caplog.at_level(logging.ERROR, "hubbub"):
        clock.run(scenario())
    assert "could not be written to" in caplog.text
    assert "broken pipe" in caplog.text


def test_a_receiver_that_raises_when_it_leaves_is_dropped_and_has_left(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        broken, other = Broken(), FakeTransport()
        fanout.join("lobby", broken)
        fanout.join("lobby", other)
        deliver(fanout, "one")
        assert fanout.leave("lobby", broken) is False
        assert broken.aborted
        assert fanout.leave("lobby", other) is True
        assert other.received == ["one"]

    with caplog.at_level(logging.ERROR, "hubbub"):
        clock.run(scenario())
    assert "could not be written to" in caplog.text


@pytest.mark.parametrize("slice_size", [1, 2, 3, BIG_SLICE])
def test_a_receiver_may_leave_from_within_its_push(clock: Clock, slice_size: int) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size)
        leaver = Reacting(lambda: fanout.leave("lobby", leaver))
        before, after = FakeTransport(), FakeTransport()
        for receiver in (before, leaver, after):
            fanout.join("lobby", receiver)
        deliver(fanout, "one")
        await ticks(5)
        deliver(fanout, "two")
        await ticks(5)
        assert leaver.received == ["one"]
        assert before.received == after.received == ["one", "two"]

    clock.run(scenario())


@pytest.mark.parametrize("slice_size", [1, 2, BIG_SLICE])
def test_a_push_may_make_all_others_leave(clock: Clock, slice_size: int) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size)
        others = [FakeTransport(), FakeTransport()]
        trigger = Reacting(lambda: [fanout.leave("lobby", receiver) for receiver in [*others, trigger]])
        for receiver in (others[0], trigger, others[1]):
            fanout.join("lobby", receiver)
        deliver(fanout, "one")
        await ticks(5)
        deliver(fanout, "two")
        await ticks(5)
        for receiver in [*others, trigger]:
            assert receiver.received == ["one"]
        assert fanout.receivers("lobby") == 0
        assert fanout.join("lobby", trigger) is True

    clock.run(scenario())


def test_the_last_two_may_leave_inside_one_another(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        # What the first is still owed when it leaves makes the hub give up the second.
        second = FakeTransport()
        outcomes = []
        first = Reacting(lambda: outcomes.append(fanout.leave("lobby", second)))
        fanout.join("lobby", first)
        fanout.join("lobby", second)
        deliver(fanout, "one")
        outcomes.append(fanout.leave("lobby", first))
        assert outcomes == [True, False], "exactly one of them was the last"
        assert first.received == second.received == ["one"]
        assert fanout.receivers("lobby") == 0

    clock.run(scenario())


def test_a_push_may_publish_and_it_is_delivered_behind(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        echo = ["two"]
        reacting = Reacting(lambda: deliver(fanout, echo.pop()) if echo else None)
        other = FakeTransport()
        for receiver in (reacting, other):
            fanout.join("lobby", receiver)
        deliver(fanout, "one")
        await ticks(3)
        assert reacting.received == other.received == ["one", "two"]

    clock.run(scenario())


def test_flush_works_off_what_is_noted_and_what_is_under_way(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=2)
        receivers = room_of(fanout, 9)
        (elsewhere,) = room_of(fanout, 1, "elsewhere")
        deliver(fanout, "one")
        await ticks()
        deliver(fanout, "two")
        deliver(fanout, "three", channel="elsewhere")
        fanout.flush()
        assert all(receiver.received == ["one", "two"] for receiver in receivers)
        assert elsewhere.received == ["three"]
        await ticks(10)
        assert all(receiver.received == ["one", "two"] for receiver in receivers), "nothing comes twice"
        deliver(fanout, "four")
        await ticks(10)
        assert all(receiver.received == ["one", "two", "four"] for receiver in receivers), "and it goes on"

    clock.run(scenario())


class Text(str):
    """Text of which one can see whether it is still held."""


class JsonText(Json):
    """JSON of which one can see whether it is still held."""


class Forgetful(FakeTransport):
    """Keeps nothing of what it is sent."""

    def push(self, batch: tuple[str | bytes, ...]) -> None:
        pass


@pytest.mark.parametrize("flushed", [True, False])
def test_what_has_been_pushed_is_held_no_longer(clock: Clock, *, flushed: bool) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=2)
        for _ in range(5):
            fanout.join("lobby", Forgetful())
        text = Text("large")
        held = weakref.ref(text)
        fanout.deliver("lobby", Publication(text))
        del text
        assert held() is not None
        if flushed:
            fanout.flush()
        await ticks(5)
        gc.collect()
        assert held() is None

    clock.run(scenario())


# Every interleaving: what each receiver got is what was delivered while it was in the room.

CHANNELS = ("red", "blue")
RECEIVERS = range(3)

rooms = st.sampled_from((*CHANNELS, CHANNELS[0]))
receivers = st.sampled_from(RECEIVERS)
steps = st.one_of(
    st.tuples(st.just("publish"), rooms, st.just(0)),
    st.tuples(st.just("join"), rooms, receivers),
    st.tuples(st.just("leave"), rooms, receivers),
    st.tuples(st.just("tick"), st.just(""), st.just(0)),
    st.tuples(st.sampled_from(["flush", "tick"]), st.just(""), st.just(0)),
)


class _Model:
    """The truth: a set of members for each channel, and a list for each receiver and channel."""

    def __init__(self, receivers: list[FakeTransport]) -> None:
        self.receivers = receivers
        self.members: dict[str, set[int]] = {channel: set() for channel in CHANNELS}
        self.expected: dict[tuple[str, int], list[str]] = {}
        self.published = 0

    def play(self, fanout: Fanout, action: str, channel: str, number: int) -> None:
        if action == "flush":
            fanout.flush()
        elif action == "publish":
            self.published += 1
            text = f"{channel}:{self.published}"
            fanout.deliver(channel, Publication(text))
            for member in self.members[channel]:
                self.expected.setdefault((channel, member), []).append(text)
        else:
            members = self.members[channel]
            receiver: Transport = self.receivers[number]
            if action == "join":
                members.add(number)
                assert fanout.join(channel, receiver) is (members == {number})
            else:
                was_last = members == {number}
                members.discard(number)
                assert fanout.leave(channel, receiver) is was_last
                # Who has left has got everything: nothing may come behind the close frame.
                self.check(channel, number)

    def check(self, channel: str, number: int) -> None:
        received = [text for text in self.receivers[number].received if str(text).startswith(channel)]
        assert received == self.expected.get((channel, number), [])


@settings(max_examples=1500, deadline=None)
@given(st.sets(receivers), st.lists(steps, min_size=4, max_size=25), st.integers(1, 3))
def test_whatever_happens_each_receiver_gets_exactly_what_was_delivered_while_it_was_there(
    early: set[int], history: list[tuple[str, str, int]], slice_size: int
) -> None:
    encodings = [TupleFraming(), TupleFraming()]
    model = _Model([FakeTransport(encodings[number % 2]) for number in RECEIVERS])

    async def scenario() -> None:
        fanout = PlainFanout(slice_size)
        for action, channel, number in [*(("join", CHANNELS[0], number) for number in sorted(early)), *history]:
            if action == "tick":
                await ticks()
            else:
                model.play(fanout, action, channel, number)
        await ticks(80)
        for channel in CHANNELS:
            assert fanout.receivers(channel) == len(model.members[channel])
            for number in RECEIVERS:
                model.check(channel, number)

    with Clock() as clock:
        clock.run(scenario())


def test_a_large_room_coalesces_while_it_is_written_to(clock: Clock) -> None:
    """One publication in each turn, to more receivers than fit into a slice: pushes do not pile up."""

    async def scenario() -> None:
        fanout = PlainFanout(10)
        receivers = room_of(fanout, 50)
        for number in range(40):
            deliver(fanout, str(number))
            await ticks(1)
        await ticks(20)
        assert all(receiver.received == [str(number) for number in range(40)] for receiver in receivers)
        assert max(len(receiver.batches) for receiver in receivers) <= 40 // 5 + 2

    clock.run(scenario())


def test_a_storm_of_joins_that_announce_themselves_costs_each_member_one_push(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        members = room_of(fanout, 20)
        newcomers = []
        for number in range(10):
            newcomers += room_of(fanout, 1)
            deliver(fanout, f"{number} is here")
        await ticks(2)
        assert all(len(member.batches) == 1 for member in members)
        for number, newcomer in enumerate(newcomers):
            assert newcomer.received == [f"{later} is here" for later in range(number, 10)]

    clock.run(scenario())


class Choosy(TupleFraming):
    """Cannot encode everything."""

    def join(self, payloads: Sequence[str | bytes]) -> tuple[str | bytes, ...]:
        if "rubbish" in payloads:
            raise ValueError("rubbish")
        return super().join(payloads)


def test_what_cannot_be_encoded_is_dropped_and_the_next_arrives(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(BIG_SLICE)
        receiver = FakeTransport(Choosy())
        fanout.join("lobby", receiver)
        deliver(fanout, "rubbish")
        await ticks(2)
        deliver(fanout, "good")
        await ticks(2)
        assert receiver.received == ["good"]

    clock.run(scenario())
    assert "could not be encoded" in caplog.text


# Encodings: what each receiver of a room is sent for the same events.


class Batch(list[str | bytes]):
    """A batch of which one can see whether it is still held."""


class Watched(TupleFraming):
    """Looks after the batch that it made."""

    made: weakref.ref[Batch] | None = None

    def join(self, payloads: Sequence[str | bytes]) -> Any:
        batch = Batch(payloads)
        self.made = weakref.ref(batch)
        return batch


class Watching(Fanout):
    """A fan-out that notes where publications were missing."""

    def __init__(self, slice_size: int = BIG_SLICE) -> None:
        self.gaps: list[str] = []
        super().__init__(slice_size, lambda channel, losers: self.gaps.append(channel))


def kept(number: int, epoch: str = "e") -> Publication:
    text = json.dumps({"text": "x" * 60, "n": number})
    return Publication(Json(text), number, epoch, delta=True)


class Reader(FakeTransport):
    """Reads pushes as an SDK does, deltas applied to what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up: list[Disconnect] = []

    def give_up(self, fault: Disconnect) -> None:
        self.given_up.append(fault)

    def pushes(self) -> list[dict[str, Any]]:
        return [json.loads(line)["push"] for message in self.received for line in str(message).split("\n")]

    def texts(self) -> list[str]:
        """The payloads, with the deltas applied; a delta without anything to apply it to fails."""
        base: str | None = None
        texts = []
        for push in self.pushes():
            if "pub" not in push:
                continue
            data = push["pub"]["data"]
            if push["pub"].get("delta"):
                assert base is not None, "a delta for somebody who has nothing to apply it to"
                data = bytes(apply_delta(base.encode(), data.encode())).decode()
            base = data
            texts.append(data)
        return texts


FRAMING = TupleFraming()


def fresh(*, presence: bool = False) -> Encoding:
    return deltas(FRAMING, JSON, presence=presence, fresh=True)


def test_everyone_in_a_room_is_sent_what_its_encoding_makes_of_the_events(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = Watching()
        client, session, curious, differing = (Reader() for _ in range(4))
        fanout.join("room", client, plain(FRAMING))
        fanout.join("room", session, pushes(FRAMING, JSON, presence=False))
        fanout.join("room", curious, pushes(FRAMING, JSON, presence=True))
        fanout.join("room", differing, fresh())
        assert fanout.receivers("room") == 4
        assert fanout.channels() == {"room": 4}
        fanout.deliver("room", Presence(Member("anna", "c1"), joined=True))
        fanout.deliver("room", kept(1))
        fanout.deliver("room", Presence(Member("anna", "c1"), joined=False))
        await ticks(2)
        assert client.received == [kept(1).data]
        assert [list(push)[1] for push in session.pushes()] == ["pub"]
        assert [list(push)[1] for push in curious.pushes()] == ["join", "pub", "leave"]
        assert differing.texts() == [kept(1).data]
        assert all(len(reader.batches) == 1 for reader in (client, session, curious, differing))

    clock.run(scenario())


def test_what_is_nothing_to_somebody_is_not_sent_to_him(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, client = Watching(), Reader()
        fanout.join("room", client, plain(FRAMING))
        fanout.deliver("room", Presence(Member("anna", "c1"), joined=True))
        await ticks(2)
        assert client.batches == []

    clock.run(scenario())


def test_equal_filters_are_encoded_once(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, framing = Watching(), TupleFraming()
        encoding = pushes(framing, JSON, presence=False)
        readers = [Reader() for _ in range(6)]
        for number, reader in enumerate(readers):
            wanted = Filter.parse(FilterNode(key="lang", cmp="eq", val=("en", "de")[number % 2]))
            fanout.join("room", reader, Filtered(encoding, wanted))
        fanout.deliver("room", Publication(Json("1"), tags={"lang": "en"}))
        fanout.deliver("room", Publication(Json("2"), tags={"lang": "de"}))
        await ticks(2)
        assert framing.joined == 2
        assert [reader.pushes()[0]["pub"]["data"] for reader in readers] == [1, 2] * 3
        for reader in readers:
            fanout.leave("room", reader)
        assert fanout.channels() == {}

    clock.run(scenario())


@pytest.mark.parametrize(
    ("slice_size", "events", "reached"), [(30, 1, [4, 8, 10]), (30, 2, [2, 4, 6]), (1, 1, [1, 2, 3])]
)
def test_filters_of_each_its_own_give_the_event_loop_its_turn(
    clock: Clock, slice_size: int, events: int, reached: list[int]
) -> None:
    async def scenario() -> None:
        fanout, framing = Fanout(slice_size, lambda channel, losers: None), TupleFraming()
        encoding = pushes(framing, JSON, presence=False)
        readers = [Reader() for _ in range(10)]
        for number, reader in enumerate(readers):
            wanted = Filter.parse(FilterNode(key="n", cmp="neq", val=str(number)))
            fanout.join("room", reader, Filtered(encoding, wanted))
        for _ in range(events):
            fanout.deliver("room", Publication(Json("1"), tags={"n": "x"}))
        found = []
        for _ in reached:
            await ticks()
            found.append(sum(bool(reader.batches) for reader in readers))
        assert found == reached
        await ticks(20)
        assert [len(reader.pushes()) for reader in readers] == [events] * 10
        assert framing.joined == 10

    clock.run(scenario())


def test_a_batch_is_held_no_longer_than_it_is_owed(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, framings = PlainFanout(slice_size=6), (Watched(), Watched())
        for framing in framings:
            for _ in range(5):
                fanout.join("lobby", Forgetful(framing))
        deliver(fanout, "one")
        await ticks()
        gc.collect()
        first, second = (framing.made for framing in framings)
        assert first is not None
        assert first() is None
        assert second is None, "the wave is still under way"
        await ticks()
        gc.collect()
        assert framings[1].made is not None
        assert framings[1].made() is None

    clock.run(scenario())


def test_a_disconnect_of_an_encoding_reaches_its_receivers_alone(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = Watching()
        texts, leaver, late = Reader(), Reader(), Reader()
        binary, client = Reader(), Reader()
        for reader in (texts, leaver):
            fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        fanout.join("room", binary, pushes(FRAMING, PROTOBUF, presence=False))
        fanout.join("room", client, plain(FRAMING))
        fanout.deliver("room", Publication(Json("1")))
        fanout.join("room", late, pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", Publication(b"\xff"))
        fanout.leave("room", leaver)
        await ticks(2)
        for reader in (texts, leaver, late):
            assert [type(fault) for fault in reader.given_up] == [WrongProtocol]
            assert reader.batches == []
        assert binary.given_up == client.given_up == []
        assert client.received == ["1", b"\xff"]
        assert len(binary.received) == 1

    clock.run(scenario())


# Deltas: who has got a publication is told apart from who has not.


def test_the_first_publication_is_sent_in_full_and_the_next_as_what_differs(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, early, late = Watching(), Reader(), Reader()
        fanout.join("room", early, fresh())
        fanout.deliver("room", kept(1))
        await ticks(2)
        fanout.join("room", late, fresh())
        fanout.deliver("room", kept(2))
        await ticks(2)
        fanout.deliver("room", kept(3))
        await ticks(2)
        assert [push["pub"].get("delta", False) for push in early.pushes()] == [False, True, True]
        assert [push["pub"].get("delta", False) for push in late.pushes()] == [False, True]
        assert late.texts() == [kept(2).data, kept(3).data]

    clock.run(scenario())


@pytest.mark.parametrize("noted_before", [0, 1])
def test_who_has_heard_of_members_alone_gets_the_first_publication_in_full(clock: Clock, noted_before: int) -> None:
    async def scenario() -> None:
        fanout, early, late = Watching(), Reader(), Reader()
        fanout.join("room", early, fresh())
        fanout.deliver("room", kept(1))
        await ticks(2)
        for number in range(noted_before):  # so that who joins then is late for something
            fanout.deliver("room", kept(2 + number))
        fanout.join("room", late, fresh(presence=True))
        fanout.deliver("room", Presence(Member("anna", "c1"), joined=True))
        await ticks(2)
        fanout.deliver("room", kept(2 + noted_before))
        await ticks(2)
        assert late.texts() == [kept(2 + noted_before).data]
        assert list(late.pushes()[0]) == ["channel", "join"]

    clock.run(scenario())


def test_a_receiver_may_be_written_to_in_another_way(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader, other = Watching(), Reader(), Reader()
        fanout.join("room", reader, plain(FRAMING))
        fanout.join("room", other, plain(FRAMING))
        fanout.deliver("room", kept(1))
        await ticks(2)
        fanout.change("room", reader, fresh())
        assert fanout.receivers("room") == 2
        fanout.deliver("room", kept(2))
        await ticks(2)
        assert json.loads(str(reader.received[1]))["push"]["pub"]["data"] == kept(2).data
        assert other.received == [kept(1).data, kept(2).data]
        assert fanout.leave("room", other) is False
        assert fanout.leave("room", reader) is True

    clock.run(scenario())


def test_the_one_before_is_held_only_where_somebody_needs_it(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = Watching()
        fanout.join("room", Reader(), pushes(FRAMING, JSON, presence=False))
        text = JsonText("1")
        held = weakref.ref(text)
        fanout.deliver("room", Publication(text, 1, "e"))
        del text
        await ticks(3)
        gc.collect()
        assert held() is None
        assert not fanout.follows("room", Position(1, "e"))
        fanout.join("room", Reader(), fresh())
        assert not fanout.follows("room", Position(1, "e"))
        fanout.deliver("room", kept(2))
        assert fanout.follows("room", Position(2, "e")), "as soon as it is noted"
        await ticks(3)
        assert fanout.follows("room", Position(2, "e"))
        assert not fanout.follows("room", Position(1, "e"))
        assert not fanout.follows("room", Position(3, "e"))
        assert not fanout.follows("room", Position(2, "another"))
        assert not fanout.follows("nowhere", Position(0, "e"))

    clock.run(scenario())


def test_what_is_not_kept_is_followed_by_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = Watching()
        fanout.join("room", Reader(), fresh())
        fanout.deliver("room", Publication(Json("1"), delta=True))
        await ticks(2)
        assert not fanout.follows("room", Position(0, "e"))

    clock.run(scenario())


delta_steps = st.one_of(
    st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["publish", "publish", "presence", "tick"]), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(delta_steps, max_size=30), st.integers(1, 3))
def test_whatever_happens_each_can_read_what_was_published_while_it_was_there(
    history: list[tuple[str, int]], slice_size: int
) -> None:
    readers = [[Reader()] for _ in range(4)]
    expected: list[list[list[str]]] = [[[]] for _ in readers]

    async def scenario() -> None:
        fanout, there, published = Watching(slice_size), set[int](), 0
        for action, number in history:
            if action == "join" and number not in there:
                there.add(number)
                readers[number].append(Reader())  # a new client, that remembers nothing
                expected[number].append([])
                fanout.join("room", readers[number][-1], fresh(presence=number % 2 == 0))
            elif action == "leave" and number in there:
                there.discard(number)
                fanout.leave("room", readers[number][-1])
            elif action == "publish":
                published += 1
                fanout.deliver("room", kept(published))
                for member in there:
                    expected[member][-1].append(str(kept(published).data))
            elif action == "presence":
                fanout.deliver("room", Presence(Member("anna", "c1"), joined=True))
            elif action == "tick":
                await ticks()
        await ticks(60)
        for number, visits in enumerate(readers):
            assert [reader.texts() for reader in visits] == expected[number]

    with Clock() as clock:
        clock.run(scenario())


# Gaps: what is counted must follow.


def offsets(reader: Reader) -> list[int]:
    return [push["pub"].get("offset", 0) for push in reader.pushes()]


def test_a_publication_that_came_before_is_dropped(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        for number in (3, 3, 4, 3, 4, 5):
            fanout.deliver("room", kept(number))
        await ticks(2)
        assert offsets(reader) == [3, 4, 5]
        assert fanout.gaps == []

    clock.run(scenario())


@pytest.mark.parametrize("after", [kept(5), kept(4, "another"), kept(1, "another"), kept(3, "another")])
def test_a_publication_that_does_not_follow_is_told_of_and_delivered(clock: Clock, after: Publication) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", kept(3))
        fanout.deliver("elsewhere", kept(9))
        assert fanout.gaps == []
        fanout.deliver("room", after)
        assert fanout.gaps == ["room"]
        fanout.deliver("room", kept(after.offset + 1, after.epoch))
        await ticks(2)
        assert offsets(reader) == [3, after.offset, after.offset + 1]
        assert fanout.gaps == ["room"], "it is told once"

    clock.run(scenario())


def test_what_is_not_kept_and_who_comes_and_leaves_makes_no_gap(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", kept(1))
        fanout.deliver("room", Publication(Json("1")))
        fanout.deliver("room", Presence(Member("anna", "c1"), joined=True))
        fanout.deliver("room", Publication(Json("2")))
        fanout.deliver("room", kept(2))
        await ticks(2)
        assert offsets(reader) == [1, 0, 0, 2]
        assert fanout.gaps == []

    clock.run(scenario())


@pytest.mark.parametrize(("came", "position"), [(2, 3), (0, 3), (0, 0)])
def test_who_has_read_further_than_has_come_here_gets_what_follows_its_own_place(
    clock: Clock, came: int, position: int
) -> None:
    async def scenario() -> None:
        fanout, early, ahead = Watching(), Reader(), Reader()
        fanout.join("room", early, fresh())
        for number in range(1, came + 1):
            fanout.deliver("room", kept(number))
        await ticks(2)
        fanout.join("room", ahead, fresh())
        fanout.change("room", ahead, fresh(), Position(position, "e"))
        for number in range(came + 1, 6):
            fanout.deliver("room", kept(number))
            await ticks(2)
        assert offsets(ahead) == list(range(position + 1, 6))
        assert ahead.texts() == [kept(number).data for number in range(position + 1, 6)]
        assert offsets(early) == [1, 2, 3, 4, 5]
        assert fanout.gaps == []

    clock.run(scenario())


@pytest.mark.parametrize("after", [kept(5), kept(4, "another")])
def test_what_does_not_follow_is_a_loss_to_those_alone_for_whom_it_does_not(clock: Clock, after: Publication) -> None:
    async def scenario() -> None:
        told: list[set[Any]] = []
        fanout = Fanout(BIG_SLICE, lambda channel, losers: told.append(set(losers)))
        behind, ahead, further = Reader(), Reader(), Reader()
        for reader, position in ((behind, 2), (ahead, 3), (further, 4)):
            fanout.join("room", reader, fresh())
            if reader is behind:
                fanout.deliver("room", kept(1))
                fanout.deliver("room", kept(2))
                await ticks(2)
            fanout.change("room", reader, fresh(), Position(position, "e"))
        fanout.deliver("room", after)
        assert told == [{behind, ahead} if after.epoch == "e" else {behind, ahead, further}]

    clock.run(scenario())


def test_who_has_read_less_than_has_come_here_has_lost_something(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        fanout.join("room", reader, fresh())
        for number in (1, 2, 3):
            fanout.deliver("room", kept(number))
        await ticks(2)
        fanout.change("room", reader, fresh(), Position(3, "e"))
        with pytest.raises(InsufficientState):
            fanout.change("room", reader, fresh(), Position(2, "e"))

    clock.run(scenario())


def test_joining_twice_is_joining_once_and_the_first_way_counts(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        assert fanout.join("room", reader, plain(FRAMING)) is True
        assert fanout.join("room", reader, fresh()) is True
        fanout.deliver("room", kept(1))
        await ticks(2)
        assert reader.received == [kept(1).data]
        assert fanout.leave("room", reader) is True

    clock.run(scenario())


def test_a_room_that_everyone_has_left_begins_anew(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, reader = Watching(), Reader()
        fanout.join("room", reader, fresh())
        fanout.deliver("room", kept(1))
        fanout.leave("room", reader)
        fanout.deliver("room", kept(2))
        fanout.join("room", reader, fresh())
        fanout.deliver("room", kept(5))
        await ticks(2)
        assert reader.texts() == [kept(1).data, kept(5).data]
        assert fanout.gaps == []

    clock.run(scenario())


def test_who_is_told_of_a_gap_may_make_everyone_leave(clock: Clock) -> None:
    async def scenario() -> None:
        reader = Reader()
        fanout = Fanout(BIG_SLICE, lambda channel, losers: fanout.leave(channel, reader))
        fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", kept(1))
        fanout.deliver("room", kept(5))
        await ticks(2)
        assert offsets(reader) == [1]
        assert fanout.channels() == {}
        fanout.join("room", reader, pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", kept(6))
        await ticks(2)
        assert offsets(reader) == [1, 6]

    clock.run(scenario())


def test_what_is_held_is_in_order_and_complete_while_others_are_written_to(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, held = Watching(slice_size=1), Held()
        for _ in range(3):
            fanout.join("room", Reader(), pushes(FRAMING, JSON, presence=False))
        fanout.deliver("room", kept(1))
        fanout.join("room", held, HOLD)
        fanout.deliver("room", kept(2))
        await ticks(1)
        fanout.deliver("room", kept(3))
        fanout.leave("room", held)
        assert list(held) == [kept(2), kept(3)]

    clock.run(scenario())


class Evicted(Reader):
    """Is so slow that a write makes the hub give it up, from within the push."""

    def __init__(self, fanout: Fanout) -> None:
        super().__init__()
        self._fanout = fanout

    def push(self, batch: tuple[str | bytes, ...]) -> None:
        self.give_up(SlowSession())

    def give_up(self, fault: Disconnect) -> None:
        super().give_up(fault)
        self._fanout.leave("room", self)


def test_who_is_evicted_by_what_he_joined_late_for_disturbs_nobody(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, other = Watching(), Reader()
        evicted = Evicted(fanout)
        fanout.join("room", other, fresh())
        fanout.deliver("room", kept(1))
        fanout.join("room", evicted, fresh())
        fanout.deliver("room", kept(2))
        await ticks(3)
        assert evicted.given_up
        assert fanout.channels() == {"room": 1}
        assert other.texts() == [kept(1).data, kept(2).data]

    clock.run(scenario())


def test_of_two_that_joined_late_one_may_make_the_other_leave(clock: Clock) -> None:
    async def scenario() -> None:
        fanout, other = PlainFanout(BIG_SLICE), FakeTransport()
        trigger = Reacting(lambda: fanout.leave("lobby", other))
        room_of(fanout, 1)
        deliver(fanout, "before")
        fanout.join("lobby", trigger)
        fanout.join("lobby", other)
        deliver(fanout, "after")
        await ticks(3)
        assert trigger.received == other.received == ["after"]
        assert fanout.receivers("lobby") == 2

    clock.run(scenario())


def test_a_receiver_that_fails_when_it_is_given_up_costs_nobody_the_next_publication(clock: Clock) -> None:
    class Failing(Reader):
        def give_up(self, fault: Disconnect) -> None:
            raise OSError("broken pipe")

    async def scenario() -> None:
        fanout, other, failing = Watching(), Reader(), Failing()
        fanout.join("room", failing, pushes(FRAMING, JSON, presence=False))
        fanout.join("elsewhere", other, plain(FRAMING))
        fanout.deliver("room", Publication(b"\xff"))
        fanout.deliver("elsewhere", Publication("one"))
        await ticks(3)
        fanout.deliver("elsewhere", Publication("two"))
        await ticks(3)
        assert other.received == ["one", "two"]

    with pytest.raises(AssertionError, match="nobody handled"):
        clock.run(scenario())
