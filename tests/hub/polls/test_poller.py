"""Polling: who is asked for what and when, and who is told what came."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.polls.stage import CHANNEL, PollStage, Viewer

from hubbub.hub.polls import poller

VERSIONED: dict[str, Any] = {"versioned": True}

# Polling


def test_a_new_key_is_asked_for_at_once_and_then_once_in_an_interval(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            stage.market.set("k", {"price": 1})
            await viewer.track("k", "l")
            await asyncio.sleep(0.1)
            assert stage.market.asked == [("k", "l")]
            assert viewer.told == [("k", {"price": 1})]
            await asyncio.sleep(12)
            assert stage.market.asked == [("k", "l")] * 3
            assert viewer.told == [("k", {"price": 1})]
            stage.market.set("k", {"price": 2})
            await asyncio.sleep(5)
            assert viewer.told[1:] == [("k", {"price": 2})]

    clock.run(scene())


def test_the_answer_comes_before_the_first_value(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            stage.market.set("k", 1)
            first, second = await stage.viewer(), await stage.viewer()
            for viewer in (first, second):
                number = viewer.send("sub_refresh", channel=CHANNEL, type=1, track=[viewer.batch("k")])
                await asyncio.sleep(1)
                assert [message.get("id", "push") for message in viewer.messages[-2:]] == [number, "push"]

    clock.run(scene())


def test_the_answer_comes_before_a_value_that_comes_in_the_same_turn_of_the_loop(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED, publish_enabled=True) as stage:
            viewer = await stage.viewer()
            number = viewer.send("sub_refresh", channel=CHANNEL, type=1, track=[viewer.batch("k")])
            await ticks()
            assert stage.poller.board.keys
            assert len(viewer.messages) == 2, "the answer is not sent yet"
            await stage.channel.publish("k", "now", version=1, market="oslo")
            assert [message.get("id", "push") for message in viewer.messages[2:]] == [number, "push"]

    clock.run(scene())


def test_all_who_track_a_key_share_one_question(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewers = [await stage.viewer() for _ in range(20)]
            for viewer in viewers:
                viewer.send("sub_refresh", channel=CHANNEL, type=1, track=[viewer.batch("k")])
            stage.market.set("k", 1)
            await asyncio.sleep(0.1)
            assert stage.market.asked == [("k",)]
            assert [viewer.told for viewer in viewers] == [[("k", 1)]] * 20

    clock.run(scene())


def test_the_keys_of_all_are_asked_for_together(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(batch=2) as stage:
            first, second = await stage.viewer(), await stage.viewer()
            await first.track("d", "a", "b")
            await second.track("c", "b")
            await asyncio.sleep(1)
            asked = stage.market.asked.copy()
            assert sorted(key for call in asked for key in call) == ["a", "b", "c", "d"]
            await asyncio.sleep(5)
            assert stage.market.asked[len(asked) :] == [("a", "b"), ("c", "d")]

    clock.run(scene())


def test_who_comes_later_gets_what_the_hub_has_without_a_question(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = await stage.viewer(), await stage.viewer()
            stage.market.set("k", 1)
            await first.track("k")
            await asyncio.sleep(1)
            await second.track("k")
            await asyncio.sleep(0.01)
            assert second.told == [("k", 1)]
            assert len(stage.market.asked) == 1

    clock.run(scene())


def test_who_has_the_newest_version_is_sent_nothing(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED) as stage:
            viewer = await stage.viewer()
            viewer.seen = {"same": [5], "older": [4]}
            stage.market.set("same", "s", 5)
            stage.market.set("older", "o", 5)
            await viewer.track("same", "older")
            await asyncio.sleep(1)
            assert stage.market.asked == []  # it has a value of each, so the next round is soon enough
            await asyncio.sleep(5)
            assert viewer.told == [("older", "o")]

    clock.run(scene())


def test_versions_of_a_source_are_told_to_it_and_older_ones_count_for_nothing(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED) as stage:
            viewer = await stage.viewer()
            stage.market.set("k", "new", 7)
            await viewer.track("k")
            await asyncio.sleep(1)
            stage.market.set("k", "old", 6)
            await asyncio.sleep(5)
            second = await stage.viewer()
            await second.track("k")
            await asyncio.sleep(5)
            assert stage.market.versions == [{"k": 0}, {"k": 7}, {"k": 7}]
            assert viewer.told == second.told == [("k", "new")]

    clock.run(scene())


def test_a_value_that_does_not_differ_is_no_new_version(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            for key, data in (("k", "1"), ("l", [1]), ("k", 1), ("k", 1), ("l", [1])):
                stage.market.set(key, data)
                await viewer.track("k", "l")
                await asyncio.sleep(5)
            viewer.read()
            # The text "1" is not the number, although JSON has the same letters for both.
            assert viewer.told == [("k", "1"), ("l", [1]), ("k", 1)]
            assert viewer.seen == {"k": [1, 3], "l": [2]}
            assert stage.market.versions[-1] == {"k": 0, "l": 0}

    clock.run(scene())


def test_a_removed_key_is_told_and_not_tracked_any_more(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = await stage.viewer(), await stage.viewer()
            stage.market.set("k", 1)
            await first.track("k", "l")
            await second.track("k")
            await asyncio.sleep(1)
            stage.market.set("k", removed=True)
            await asyncio.sleep(5)
            for viewer in (first, second):
                assert viewer.pushes[-1] == {"channel": CHANNEL, "pub": {"key": "k", "removed": True}}
            await asyncio.sleep(5)
            assert stage.market.asked[-1] == ("l",)
            stage.market.set("k", 2)
            await second.track("k")
            await asyncio.sleep(0.1)
            assert second.told[-1] == ("k", 2)
            assert len(first.told) == 2

    clock.run(scene())


def test_a_key_of_which_the_source_knows_nothing_waits_for_the_next_round(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = await stage.viewer(), await stage.viewer()
            await first.track("k")
            await asyncio.sleep(1)
            await second.track("k")
            await asyncio.sleep(1)
            assert len(stage.market.asked) == 1
            stage.market.set("k", 1)
            await asyncio.sleep(5)
            assert (first.told, second.told) == ([("k", 1)], [("k", 1)])

    clock.run(scene())


def test_untracked_keys_are_neither_asked_for_nor_told(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            await viewer.track("k", "l", "m", untrack=["m"])
            await asyncio.sleep(1)
            assert (await viewer.untrack("k", "never tracked"))["sub_refresh"] == {}
            for key in "klm":
                stage.market.set(key, 1)
            await asyncio.sleep(5)
            assert stage.market.asked == [("k", "l"), ("l",)]
            assert viewer.told == [("l", 1)]

    clock.run(scene())


def test_keys_that_are_dropped_within_a_round_do_not_hold_up_the_others(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(batch=1) as stage:
            viewer = await stage.viewer()
            await viewer.track("a", "b", "c")
            await asyncio.sleep(1)
            asked = len(stage.market.asked)
            stage.market.delay = 0.5
            await asyncio.sleep(4.2)
            await viewer.untrack("b")
            await asyncio.sleep(1.0)
            assert stage.market.asked[asked:] == [("a",), ("c",)]

    clock.run(scene())


# A slow or failing source


def test_polls_of_a_slow_source_never_overlap_and_hold_up_no_session(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            stage.market.delay = 17.0
            viewer, other = await stage.viewer(), await stage.viewer()
            stage.market.set("k", 1)
            await viewer.track("k")
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            assert "sub_refresh" in await other.track("k", "l")
            assert "sub_refresh" in await viewer.untrack("m")
            assert asyncio.get_running_loop().time() - began < 0.1
            await asyncio.sleep(60)
            assert stage.market.most == 1
            assert (viewer.told, other.told) == ([("k", 1)], [("k", 1)])

    clock.run(scene())


def test_polls_do_not_overlap_when_all_leave_and_come_back_meanwhile(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            stage.market.delay, stage.market.stubborn = 17.0, True
            for _ in range(5):
                viewer = await stage.viewer()
                await viewer.track("k")
                await asyncio.sleep(1)
                viewer.leave()
                await asyncio.sleep(2)
            assert stage.market.most == 1
            await asyncio.sleep(60)
            assert stage.kept == []

    clock.run(scene())


def test_a_failing_source_is_logged_once_and_asked_again(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            stage.market.error = ConnectionError("the backend answered 503")
            stage.market.set("k", 1)
            await viewer.track("k")
            await asyncio.sleep(30)
            assert [record.getMessage() for record in caplog.records] == [
                "prices:oslo: a poll failed (the backend answered 503); polled again every 5 s"
            ]
            assert caplog.records[0].exc_info is None
            assert len(stage.market.asked) == 7
            stage.market.error = None
            await asyncio.sleep(5)
            assert viewer.told == [("k", 1)]
            stage.market.error = ZeroDivisionError("in the app's own code")
            await asyncio.sleep(30)
            assert len(caplog.records) == 2
            assert caplog.records[1].exc_info

    with caplog.at_level(logging.WARNING, "hubbub"):
        clock.run(scene())


def test_values_without_versions_are_a_fault_of_the_source(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED) as stage:
            viewer = await stage.viewer()
            stage.market.set("k", 1, 1)
            stage.market.set("l", 1)
            await viewer.track("k", "l")
            await asyncio.sleep(1)
            assert viewer.told == []
            stage.market.set("l", 1, 1)
            await asyncio.sleep(5)
            assert viewer.told == [("k", 1), ("l", 1)]

    clock.run(scene())
    assert "'l' came without a version" in caplog.text


# What is sent


def test_who_needs_the_same_is_sent_the_same_batch(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewers = [await stage.viewer() for _ in range(50)]
            for viewer in viewers[1:]:
                await viewer.track("a", "b", "c")
            await viewers[0].track("b")
            await asyncio.sleep(1)
            for key in "abc":
                stage.market.set(key, f"value of {key}")
            joined = stage.framing.joined
            await asyncio.sleep(5)
            assert stage.framing.joined - joined == 2
            assert len({id(viewer.transport.batches[-1]) for viewer in viewers}) == 2
            assert all(len(viewer.transport.batches[-1]) == 1 for viewer in viewers), "all news in one message"
            assert viewers[1].told == [(key, f"value of {key}") for key in "abc"]
            assert viewers[0].told == [("b", "value of b")]

    clock.run(scene())


def test_a_large_wave_goes_out_in_slices(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(settings={"fan_out_slice": 10}) as stage:
            viewers = [await stage.viewer() for _ in range(30)]
            for viewer in viewers:
                await viewer.track("a", "b")
            for key in "ab":
                stage.market.set(key, 1)
            await asyncio.sleep(1)
            assert not any(viewer.told for viewer in viewers)
            reached = []
            joined = stage.framing.joined
            task = asyncio.ensure_future(stage.poller._poll(["a", "b"]))
            while not task.done():
                await ticks()
                reached.append(sum(bool(viewer.told) for viewer in viewers))
            assert {5, 10, 15, 20, 25, 30} <= set(reached)
            assert stage.framing.joined == joined + 1

    clock.run(scene())


def test_news_of_many_keys_for_many_goes_out_in_several_waves(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "_MAX_WAVE", 4)

    async def scene() -> None:
        async with PollStage() as stage:
            viewers = [await stage.viewer() for _ in range(2)]
            for viewer in viewers:
                await viewer.track("a", "b", "c", "d", "e")
            for key in "abcde":
                stage.market.set(key, 1)
            await asyncio.sleep(5)
            for viewer in viewers:
                assert viewer.told == [(key, 1) for key in "abcde"]
                news = [str(batch[0]).count("push") for batch in viewer.transport.batches if "push" in str(batch[0])]
                assert news == [2, 2, 1]

    clock.run(scene())


def test_who_leaves_or_tracks_anew_within_a_wave_is_done_no_wrong(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(settings={"fan_out_slice": 1}) as stage:
            viewers = [await stage.viewer() for _ in range(4)]
            for viewer in viewers:
                await viewer.track("k")
            await asyncio.sleep(1)
            poller = stage.poller
            stage.market.set("k", removed=True)
            task = asyncio.ensure_future(poller._poll(["k"]))
            while not viewers[0].told:
                await ticks()
            viewers[1].leave()
            number = viewers[3].send("sub_refresh", channel=CHANNEL, type=1, track=[viewers[3].batch("k")])
            stage.market.set("k", 1)
            await task
            await asyncio.sleep(5)
            assert [viewer.told for viewer in viewers[:3]] == [[("k", None)], [], [("k", None)]]
            after = [message.get("id", message.get("push")) for message in viewers[3].messages]
            assert after[after.index(number) + 1 :] == [
                {"channel": CHANNEL, "pub": {"key": "k", "data": 1, "version": 1}}
            ]

    clock.run(scene())


def test_who_cannot_be_sent_a_value_is_disconnected_alone(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer, other = await stage.viewer(), await stage.viewer()
            stage.market.set("binary", b"\xff")
            stage.market.set("k", 1)
            await viewer.track("binary", "k")
            await other.track("k")
            await asyncio.sleep(5)
            assert viewer.transport.closed == [(3506, "inappropriate protocol")]
            assert other.told == [("k", 1)]
            assert stage.kept == [CHANNEL]

    clock.run(scene())


def test_deltas_are_made_for_each_key_against_what_the_client_has(clock: Clock) -> None:
    text = "a long text in which hardly anything ever changes, but for the number {}"

    async def scene() -> None:
        async with PollStage(delta=True, **VERSIONED) as stage:
            viewer, plain = Viewer(stage), await stage.viewer()
            assert (await viewer.come(delta="fossil"))["subscribe"] == {"type": 4, "delta": True}
            for version in range(1, 5):
                for key in ("k", "l"):
                    stage.market.set(key, {"text": text.format(version), "key": key}, version)
                if version == 1:
                    await viewer.track("k", "l")
                    await plain.track("k")
                await asyncio.sleep(5)
            viewer.read()
            plain.read()
            assert viewer.values == {key: {"text": text.format(4), "key": key} for key in "kl"}
            assert plain.values == {"k": viewer.values["k"]}
            deltas = [push["pub"].get("delta", False) for push in viewer.pushes]
            assert deltas == [False, False, *[True] * 6]
            viewer.seen["k"] = [3]  # a client that comes back may have a version, but not from this subscription
            await viewer.track("k")
            await asyncio.sleep(0.1)
            assert "delta" not in viewer.pushes[-1]["pub"]
            stage.market.set("k", removed=True)
            await asyncio.sleep(5)
            assert viewer.pushes[-1]["pub"] == {"key": "k", "removed": True}

    clock.run(scene())


def test_deltas_are_not_given_where_they_are_not_allowed(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            assert "delta" not in (await Viewer(stage).come(delta="fossil"))["subscribe"]

    clock.run(scene())


# Whatever happens

KEYS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(KEYS), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.sampled_from(KEYS)),
        st.tuples(st.just("track"), st.integers(0, 2), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)),
        st.tuples(st.just("untrack"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("leave"), st.integers(0, 2)),
        st.tuples(st.just("publish"), st.sampled_from(KEYS)),
        st.tuples(st.just("fail"), st.booleans()),
        st.tuples(st.just("slow"), st.sampled_from((0.0, 1.0, 7.0))),
        st.tuples(st.just("wait"), st.sampled_from((0.0, 0.01, 1.0, 5.0, 12.0))),
    ),
    max_size=40,
)


class Story:
    """Steps in any order, on a source whose versions go up; and what must hold at their end."""

    def __init__(self, stage: PollStage, *, versioned: bool, deltas: bool) -> None:
        self.stage = stage
        self.versioned = versioned
        self.wish = {"delta": "fossil"} if deltas else {}
        self.version = 0
        self.viewers: list[Viewer] = []

    async def play(self, steps: list[tuple[Any, ...]]) -> None:
        self.viewers = [await self.stage.viewer(**self.wish) for _ in range(3)]
        for name, *arguments in steps:
            await getattr(self, name)(*arguments)
        await self.slow(0.0)
        await self.fail(False)
        await self.wait(20.0)
        for viewer in self.viewers:
            viewer.read()
            there = {key for key in viewer.tracked if key in self.stage.market.values}
            assert viewer.values == {key: self.stage.market.values[key].data for key in there}
        assert self.stage.market.most <= 1

    async def change(self, key: str, content: int) -> None:
        self.version += 1
        self.stage.market.set(key, {"key": key, "content": [content] * 20}, self.version if self.versioned else 0)

    async def remove(self, key: str) -> None:
        self.stage.market.set(key, removed=True)

    async def track(self, number: int, keys: list[str]) -> None:
        self.viewers[number].read()
        assert "sub_refresh" in await self.viewers[number].track(*dict.fromkeys(keys))

    async def untrack(self, number: int, key: str) -> None:
        assert "sub_refresh" in await self.viewers[number].untrack(key)

    async def leave(self, number: int) -> None:
        """The client comes back at once, with what it has."""
        before = self.viewers[number]
        before.leave()
        viewer = self.viewers[number] = await self.stage.viewer(**self.wish)
        viewer.resume(before)
        if viewer.tracked:
            await self.track(number, sorted(viewer.tracked))

    async def publish(self, key: str) -> None:
        if self.versioned:
            await self.change(key, -self.version)
            value = self.stage.market.values[key]
            await self.stage.channel.publish(key, value.data, version=value.version, market="oslo")

    async def fail(self, broken: bool) -> None:
        self.stage.market.error = ConnectionError("broken") if broken else None

    async def slow(self, delay: float) -> None:
        self.stage.market.delay = delay

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("deltas", [False, True], ids=["plain", "deltas"])
@pytest.mark.parametrize("versioned", [False, True], ids=["counted", "versioned"])
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_versions_never_go_back_and_every_tracker_ends_with_the_newest(
    versioned: bool, deltas: bool, steps: list[tuple[Any, ...]]
) -> None:
    async def scene() -> None:
        rules = {"versioned": versioned, "delta": deltas, "publish_enabled": versioned}
        async with PollStage(**rules, settings={"fan_out_slice": 1}) as stage:
            await Story(stage, versioned=versioned, deltas=deltas).play(steps)

    with Clock() as clock:
        clock.run(scene())
