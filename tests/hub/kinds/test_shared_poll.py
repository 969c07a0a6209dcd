"""The shared poll channel, as its clients see it."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.polls.stage import CHANNEL, PollStage, Viewer

from hubbub.errors import UsageError
from hubbub.hub.polls import poller
from hubbub.hub.polls.poller import EXPIRED_GRACE

VERSIONED: dict[str, Any] = {"versioned": True}
FORBIDDEN, LIMIT_EXCEEDED, INVALID, NOT_AVAILABLE, EXPIRED = 103, 106, 107, 108, 109


def error_of(reply: dict[str, Any]) -> int:
    return int(reply["error"]["code"])


# Subscribing


def test_the_answer_has_the_epoch_that_versions_count_in(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = Viewer(stage), Viewer(stage)
            told = (await first.come())["subscribe"]
            assert set(told) == {"type", "epoch"}
            assert told["type"] == 4
            assert len(told["epoch"]) == 8
            assert (await second.come())["subscribe"] == told

    clock.run(scene())


def test_a_source_with_versions_has_no_epoch_until_it_says_one(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED) as stage:
            assert (await Viewer(stage).come())["subscribe"] == {"type": 4}

    clock.run(scene())


def test_another_type_of_subscription_is_refused(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            assert error_of(await Viewer(stage).come(type=0)) == INVALID
            assert error_of(await Viewer(stage).come(type=1)) == INVALID

    clock.run(scene())


def test_who_may_not_subscribe_is_refused(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(may_subscribe="users") as stage:
            assert error_of(await Viewer(stage).come()) == FORBIDDEN
            assert "subscribe" in await Viewer(stage, "anna").come()

    clock.run(scene())


def test_clients_publish_nothing(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            assert error_of(await viewer.ask("publish", channel=CHANNEL, data=1)) == FORBIDDEN

    clock.run(scene())


def test_without_anything_to_ask_the_hub_does_not_start(clock: Clock) -> None:
    async def scene() -> None:
        stage = PollStage()
        stage.channel._kind.source = None
        with pytest.raises(UsageError, match=r"nothing answers the polls of 'prices:\{market\}': decorate.*on_poll"):
            await stage.engine.start()

    clock.run(scene())


# Tracking


def test_tracking_is_answered_with_the_time_that_it_lasts(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            both = [viewer.batch("k", expire_in=60), viewer.batch("l", expire_in=600)]
            reply = await viewer.ask("sub_refresh", channel=CHANNEL, type=1, track=both)
            assert reply["sub_refresh"]["expires"] is True
            assert reply["sub_refresh"]["ttl"] in (59, 60)

    clock.run(scene())


def test_a_signature_without_expiry_lasts(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(every=3600.0) as stage:
            viewer = await stage.viewer("anna")
            signature = stage.channel.sign("anna", ["k"], expire_in=None, market="oslo")
            batch = {"signature": signature, "items": [{"key": "k"}]}
            reply = await viewer.ask("sub_refresh", channel=CHANNEL, type=1, track=[batch])
            assert reply["sub_refresh"] == {}
            await asyncio.sleep(24 * 3600)
            stage.market.set("k", "new")
            await asyncio.sleep(3600)
            assert viewer.told[-1] == ("k", "new")

    clock.run(scene())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"type": 1}, INVALID),
        ({"type": 1, "track": [{"signature": "x"}]}, INVALID),
        ({"type": 1, "track": [{"signature": "x", "items": [{"key": "k"}]}]}, FORBIDDEN),
        ({"type": 1, "track": [{"items": [{"key": str(n)} for n in range(4)]}]}, LIMIT_EXCEEDED),
        ({"type": 2}, INVALID),
        ({"type": 3}, INVALID),
        ({"type": 3, "untrack": ["k"]}, INVALID),
    ],
)
def test_what_makes_no_sense_is_refused(clock: Clock, request_: dict[str, Any], code: int) -> None:
    async def scene() -> None:
        async with PollStage(max_keys=3) as stage:
            viewer = await stage.viewer()
            assert error_of(await viewer.ask("sub_refresh", channel=CHANNEL, **request_)) == code
            await asyncio.sleep(30)
            assert stage.market.asked == []

    clock.run(scene())


def test_one_bad_signature_spoils_all_batches(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer("anna")
            for batch, code in (
                (viewer.batch("l", user="otto"), FORBIDDEN),
                ({**viewer.batch("l"), "items": [{"key": "m"}]}, FORBIDDEN),
                (viewer.batch("l", expire_in=-60), EXPIRED),
            ):
                reply = await viewer.ask("sub_refresh", channel=CHANNEL, type=1, track=[viewer.batch("k"), batch])
                assert error_of(reply) == code
            await asyncio.sleep(30)
            assert stage.market.asked == []

    clock.run(scene())


def test_no_more_keys_are_tracked_than_may_be_and_untracked_ones_do_not_count(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(max_keys=3) as stage:
            viewer = await stage.viewer()
            await viewer.track("a", "b")
            assert error_of(await viewer.track("c", "d")) == LIMIT_EXCEEDED
            assert "sub_refresh" in await viewer.track("a", "b", "c")
            assert "sub_refresh" in await viewer.track("d", "e", untrack=["a", "b", "unknown"])
            await asyncio.sleep(5)
            assert stage.market.asked[-1] == ("c", "d", "e")

    clock.run(scene())


def test_who_has_left_cannot_track(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            await viewer.ask("unsubscribe", channel=CHANNEL)
            assert error_of(await viewer.track("k")) == FORBIDDEN

    clock.run(scene())


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


# Leaving


def test_with_the_last_tracked_key_the_polling_ends(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = await stage.viewer(), await stage.viewer()
            await first.track("k")
            await second.track("k")
            await asyncio.sleep(1)
            first.leave()
            await asyncio.sleep(5)
            assert len(stage.market.asked) == 2
            await second.untrack("k")
            await asyncio.sleep(0.1)
            assert not stage.poller.polling
            assert stage.engine._chores == set()
            await asyncio.sleep(60)
            assert len(stage.market.asked) == 2

    clock.run(scene())


@pytest.mark.parametrize("way", ["the client goes", "it unsubscribes", "the server unsubscribes it"])
def test_nothing_is_kept_of_a_session_that_left(clock: Clock, way: str) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            stayer, viewer = await stage.viewer(), await stage.viewer()
            await stayer.track("shared")
            await viewer.track("shared", "own")
            await asyncio.sleep(1)
            if way == "the client goes":
                viewer.leave()
            elif way == "it unsubscribes":
                await viewer.ask("unsubscribe", channel=CHANNEL)
            else:
                viewer.session.unsubscribe(CHANNEL)
            board = stage.poller.board
            assert [tracker.session for tracker in board.trackers] == [stayer.session]
            assert list(board.keys) == ["shared"]
            assert [tracker.session for tracker in board.keys["shared"].trackers] == [stayer.session]
            before = len(viewer.told)
            stage.market.set("shared", 1)
            await asyncio.sleep(5)
            assert len(viewer.told) == before
            assert stayer.told == [("shared", 1)]

    clock.run(scene())


def test_a_channel_is_forgotten_a_second_after_its_last_session(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = Viewer(stage)
            epoch = (await viewer.come())["subscribe"]["epoch"]
            await viewer.track("k")
            viewer.leave()
            await asyncio.sleep(0.9)
            second = Viewer(stage)
            assert (await second.come())["subscribe"]["epoch"] == epoch
            second.leave()
            await asyncio.sleep(0.9)
            assert stage.kept == [CHANNEL]
            await asyncio.sleep(0.2)
            assert stage.kept == []
            third = Viewer(stage)
            assert (await third.come())["subscribe"]["epoch"] != epoch

    clock.run(scene())


def test_versions_count_on_while_somebody_is_subscribed(clock: Clock) -> None:
    """Or a client that tracks a key again, from the version that it has, would wait until that is reached anew."""

    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            stage.market.set("k", 1)
            await viewer.track("k")
            await asyncio.sleep(1)
            await viewer.untrack("k")
            await asyncio.sleep(60)
            viewer.seen = {"k": [1]}
            stage.market.set("k", 2)
            await viewer.track("k")
            await asyncio.sleep(5)
            viewer.read()
            assert (viewer.values, viewer.seen) == ({"k": 2}, {"k": [1, 2]})

    clock.run(scene())


def test_a_track_is_dropped_a_while_after_its_signature_expired(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(every=3600.0, **VERSIONED, publish_enabled=True) as stage:
            viewer, other = await stage.viewer(), await stage.viewer()
            await viewer.track("k", expire_in=60)
            await viewer.track("l", expire_in=600)
            await other.track("k", expire_in=300)
            await asyncio.sleep(60 + EXPIRED_GRACE - 1)
            await stage.channel.publish("k", "still", version=1, market="oslo")
            await asyncio.sleep(2)
            await stage.channel.publish("k", "no more", version=2, market="oslo")
            await stage.channel.publish("l", "this one", version=2, market="oslo")
            assert viewer.told == [("k", "still"), ("l", "this one")]
            assert other.told == [("k", "still"), ("k", "no more")]
            await asyncio.sleep(300)
            await viewer.track("k", expire_in=600)
            await asyncio.sleep(1)
            board = stage.poller.board
            assert {name: len(key.trackers) for name, key in board.keys.items()} == {"k": 1, "l": 1}
            await asyncio.sleep(700)
            assert not stage.poller.polling

    clock.run(scene())


def test_a_fresh_signature_keeps_a_track(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            viewer = await stage.viewer()
            stage.market.set("k", 0)
            for number in range(20):
                await viewer.track("k", expire_in=60)
                viewer.read()
                await asyncio.sleep(60)
                stage.market.set("k", number)
            viewer.read()
            assert viewer.values == {"k": 18}

    clock.run(scene())


def test_a_stop_does_not_wait_for_a_poll(clock: Clock) -> None:
    async def scene() -> None:
        stage = PollStage()
        async with stage:
            stage.market.delay = 1000.0
            viewer = await stage.viewer()
            await viewer.track("k")
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 0.1
        assert stage.market.closed
        assert stage.market.running == 0
        assert stage.kept == []

    clock.run(scene())
    assert clock.timers() == 0


# Epochs


def test_another_epoch_sends_everyone_away_for_good_versions(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED) as stage:
            stage.market.epoch = "e1"
            stage.market.set("k", 1, 100)
            tracking, watching = await stage.viewer(), await stage.viewer()
            await tracking.track("k")
            await asyncio.sleep(1)
            for viewer in (tracking, watching):
                sent_away = {"channel": CHANNEL, "unsubscribe": {"code": 2500, "reason": "insufficient state"}}
                assert viewer.pushes == [sent_away]
            await asyncio.sleep(30)  # longer than a channel's state lasts otherwise
            assert (await tracking.subscribe())["subscribe"] == {"type": 4, "epoch": "e1"}
            await tracking.track("k")
            await asyncio.sleep(1)
            assert tracking.told == [("k", 1)]
            stage.market.epoch = "e2"
            stage.market.set("k", "new count", 1)
            await asyncio.sleep(5)
            assert "unsubscribe" in tracking.pushes[-1]
            assert (await tracking.subscribe())["subscribe"]["epoch"] == "e2"
            await tracking.track("k")
            await asyncio.sleep(1)
            assert tracking.told[-1] == ("k", "new count")
            stage.market.epoch = ""
            await asyncio.sleep(5)
            assert "pub" in tracking.pushes[-1], "no word of an epoch is not another one"
            tracking.leave()
            await asyncio.sleep(100)
            assert stage.kept == []

    clock.run(scene())


# Publishing between polls


def test_a_published_value_is_told_at_once_if_it_is_newer(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(**VERSIONED, publish_enabled=True) as stage:
            await stage.channel.publish("k", "nobody is there", version=1, market="oslo")
            viewer = await stage.viewer()
            stage.market.set("k", "polled", 5)
            await viewer.track("k")
            await asyncio.sleep(1)
            for version in (4, 5, 6, 6):
                await stage.channel.publish("k", f"published {version}", version=version, market="oslo")
            await stage.channel.publish("not tracked", 1, version=1, market="oslo")
            assert viewer.told == [("k", "polled"), ("k", "published 6")]
            await asyncio.sleep(5)
            assert viewer.told[2:] == []

    clock.run(scene())


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
