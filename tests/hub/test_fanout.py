"""Fan-out: everyone gets exactly what was delivered while he was in the room, once and in order."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport, TupleFraming

from hubbub.hub.encodings import Encoding, plain
from hubbub.hub.fanout import Fanout
from hubbub.hub.transport import Transport
from hubbub.protocol.publication import Publication

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
        super().__init__(slice_size, on_gap=lambda channel: None)

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
        fanout = PlainFanout(slice_size=2)
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
        assert reached == [10, 20, 30, 35, 35]

    clock.run(scenario())


def test_many_small_rooms_share_a_slice(clock: Clock) -> None:
    async def scenario() -> None:
        fanout = PlainFanout(slice_size=10)
        receivers = [room_of(fanout, 1, f"room-{number}")[0] for number in range(25)]
        for number in range(25):
            deliver(fanout, "one", channel=f"room-{number}")
        reached = []
        for _ in range(4):
            await ticks()
            reached.append(sum(bool(receiver.batches) for receiver in receivers))
        assert reached == [10, 20, 25, 25]

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
