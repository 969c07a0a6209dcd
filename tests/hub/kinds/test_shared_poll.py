"""The shared poll channel, as its clients see it."""

import asyncio
from typing import Any

import pytest
from tests.clock import Clock
from tests.hub.polls.stage import CHANNEL, PollStage, Viewer

from hubbub.errors import UsageError
from hubbub.hub.polls.poller import EXPIRED_GRACE

VERSIONED: dict[str, Any] = {"versioned": True}
FORBIDDEN, LIMIT_EXCEEDED, INVALID, EXPIRED = 103, 106, 107, 109


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
