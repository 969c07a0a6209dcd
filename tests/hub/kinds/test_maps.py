"""The map channel, as its clients see it."""

import asyncio
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.maps.stage import (
    EPHEMERAL,
    LIVE,
    PERSISTENT,
    RECOVERABLE,
    SMALL_PAGES,
    STATE,
    STREAM,
    Follower,
    MapStage,
    keys,
    truth,
)
from tests.hub.sessions import BINARY, ONE_WAY

from hubbub import CommandError, Data, Grant, Identity, Publication, SessionInfo
from hubbub.errors import Forbidden
from hubbub.protocol.commands import FilterNode
from hubbub.protocol.filters import Filter

ENGLISH = {"key": "lang", "cmp": "eq", "val": "en"}
FORBIDDEN, ALREADY_SUBSCRIBED, LIMIT_EXCEEDED, INVALID, UNRECOVERABLE = 103, 105, 106, 107, 112


# The state


def test_an_empty_map_is_live_at_once(clock: Clock) -> None:
    async def scene() -> None:
        for rules, streams in ((PERSISTENT, True), (RECOVERABLE, True), (EPHEMERAL, False)):
            async with MapStage(rules) as stage:
                result = await (await stage.enter()).subscribe(phase=STATE)
                assert result.pop("epoch")
                assert result == {"type": 1, **({"recoverable": True} if streams else {})}

    clock.run(scene())


def test_a_small_state_comes_in_one_answer_in_the_order_of_its_keys(clock: Clock) -> None:
    async def scene() -> None:
        for rules in (PERSISTENT, EPHEMERAL):
            async with MapStage(rules) as stage:
                await stage.fill("b", "a", "é", tags={"n": "1"})
                result = await (await stage.enter()).subscribe(phase=STATE)
                assert [(entry["key"], entry["data"]) for entry in result["state"]] == [
                    ("a", {"k": "a"}),
                    ("b", {"k": "b"}),
                    ("é", {"k": "é"}),
                ]
                assert all(entry["tags"] == {"n": "1"} for entry in result["state"])
                assert result.get("offset", 0) == (3 if rules is PERSISTENT else 0)
                assert "phase" not in result

    clock.run(scene())


def test_what_is_published_and_removed_is_pushed(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            reader = await stage.live()
            await stage.fill("a", "b", tags={"n": "1"})
            await stage.board.remove("a", name="1")
            await ticks(3)
            first, second, third = reader.pushed()
            assert first.pop("epoch"), "who came before there was anything learns it here"
            assert first == {"key": "a", "data": {"k": "a"}, "offset": 1, "tags": {"n": "1"}}
            assert second == {"key": "b", "data": {"k": "b"}, "offset": 2, "tags": {"n": "1"}}
            assert third == {"key": "a", "removed": True, "offset": 3, "tags": {"n": "1"}}

    clock.run(scene())


def test_an_entry_that_expires_is_pushed_as_removed(clock: Clock) -> None:
    async def scene() -> None:
        for rules, offset in (({"mode": "recoverable", "key_ttl": 5}, {"offset": 2}), ({"key_ttl": 5}, {})):
            async with MapStage(rules) as stage:
                await stage.fill("a")
                reader = await stage.live()
                await asyncio.sleep(4.9)
                assert reader.pushed() == []
                await asyncio.sleep(1.1)
                assert reader.pushed() == [{"key": "a", "removed": True, **offset}]

    clock.run(scene())


def test_who_wants_no_state_of_a_map_without_a_stream_gets_what_comes(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(EPHEMERAL) as stage:
            await stage.fill("a")
            reader = await stage.enter()
            assert await reader.subscribe(phase=LIVE) == {"type": 1}
            await stage.fill("b")
            await ticks(3)
            assert keys(reader.pushed()) == ["+b"]

    clock.run(scene())


def test_a_large_state_comes_page_by_page_as_it_was_at_the_first(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c", "d", "e")
            reader = await stage.enter()
            first = await reader.subscribe(phase=STATE)
            assert (keys(first["state"]), first["cursor"], first["offset"]) == (["+a", "+b"], "b", 5)
            assert (first["type"], first["phase"]) == (1, STATE)
            assert "recoverable" not in first
            await stage.fill("c", "x")
            at = {"offset": 5, "epoch": first["epoch"]}
            second = await reader.subscribe(phase=STATE, cursor="b", **at)
            assert keys(second["state"]) == ["+d"], "c has changed, and comes with the changes"
            assert (second["cursor"], second["offset"]) == ("d", 5)
            assert "board:1" not in reader.guest.session.subscriptions
            third = await reader.subscribe(phase=STATE, cursor="d", **at)
            assert "phase" not in third
            assert (keys(third["state"]), keys(third["publications"])) == (["+e"], ["+c", "+x"])
            assert third["offset"] == 7
            assert third["recoverable"] is True
            assert "recovered" not in third
            await stage.fill("y")
            await ticks(3)
            assert keys(reader.pushed()) == ["+y"]

    clock.run(scene())


def test_changes_that_are_too_many_for_the_last_page_come_page_by_page_too(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            await stage.fill("d", "e", "f", "g", "h", "i")
            last = await reader.subscribe(phase=STATE, cursor="b", limit=99, offset=3, **at)
            assert (last["phase"], last["offset"], last["cursor"]) == (STATE, 3, "e"), "limited to the largest page"
            assert keys(last["state"]) == ["+c"]
            page = await reader.subscribe(phase=STREAM, offset=3, **at)
            assert (page["phase"], page["offset"], keys(page["publications"])) == (STREAM, 5, ["+d", "+e"])
            await stage.fill("j")
            page = await reader.subscribe(phase=STREAM, offset=5, **at)
            assert (page["phase"], page["offset"]) == (STREAM, 7)
            done = await reader.subscribe(phase=STREAM, offset=7, **at)
            assert (keys(done["publications"]), done["offset"]) == (["+h", "+i", "+j"], 10)
            assert "phase" not in done
            assert "recovered" not in done

    clock.run(scene())


def test_a_last_page_of_the_state_that_is_too_far_behind_leads_to_the_stream(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            for _ in range(3):
                await stage.fill("a")
            last = await reader.subscribe(phase=STATE, cursor="b", **at)
            assert (last["phase"], last["offset"], keys(last["state"])) == (STATE, 3, ["+c"])
            assert "cursor" not in last

    clock.run(scene())


def test_changes_for_which_one_answer_has_no_room_come_page_by_page(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT, max_answer_bytes=10_000) as stage:
            await stage.fill("a", "b")
            at = {"epoch": (await (await stage.enter()).subscribe(phase=STATE))["epoch"]}
            for number in range(40):
                await stage.board.publish("a", f"{number:0500}", name="1")
            reader, got, since = await stage.enter(), [], 2
            while True:
                page = await reader.subscribe(phase=STREAM, recover=True, offset=since, **at)
                got += [change["offset"] for change in page["publications"]]
                if "phase" not in page:
                    break
                since = page["offset"]
            assert got == list(range(3, 43))
            assert page["recovered"]
            reader = await stage.enter()
            refused = await reader.refused(phase=LIVE, recover=True, offset=2, **at)
            assert refused == UNRECOVERABLE, "so the client reads the map anew"
            assert (await reader.subscribe(phase=STATE))["offset"] == 42

    clock.run(scene())


def test_a_last_page_of_the_state_without_room_for_the_changes_leads_to_the_stream(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT, max_answer_bytes=10_000) as stage:
            for key in "abcdefghijklmnopqrstuvwxyz":
                await stage.board.publish(key, '"' * 300, name="1")
            reader = await stage.enter()
            page = await reader.subscribe(phase=STATE)
            at = {"offset": page["offset"], "epoch": page["epoch"]}
            for number in range(8):
                await stage.board.publish("a", f"{number:0500}", name="1")
            got = page["state"]
            while page.get("cursor"):
                page = await reader.subscribe(phase=STATE, cursor=page["cursor"], **at)
                got += page["state"]
            assert len(got) == 26
            assert (page["phase"], page["offset"]) == (STATE, 26)
            done = await reader.subscribe(phase=STREAM, **at)
            assert [change["offset"] for change in done["publications"]] == list(range(27, 35))
            assert "phase" not in done

    clock.run(scene())


def test_a_map_without_a_stream_that_changes_too_much_while_it_is_read_is_read_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(EPHEMERAL, max_answer_bytes=10_000) as stage:
            names = [f"k{number:02}" for number in range(15)]
            for key in names:
                await stage.board.publish(key, "x" * 600, name="1")
            reader = await stage.enter()
            page = await reader.subscribe(phase=STATE)
            for key in names:
                await stage.board.publish(key, "y" * 600, name="1")
            refused = await reader.refused(phase=STATE, cursor=page["cursor"], epoch=page["epoch"])
            assert refused == UNRECOVERABLE
            page = await reader.subscribe(phase=STATE)
            while page.get("cursor"):
                page = await reader.subscribe(phase=STATE, cursor=page["cursor"], epoch=page["epoch"])
            assert "phase" not in page

    clock.run(scene())


@pytest.mark.parametrize(("asked", "given"), [(0, 5), (-1, 5), (1, 2), (4, 4), (99, 9)])
def test_a_page_has_as_many_entries_as_are_asked_for_within_bounds(clock: Clock, asked: int, given: int) -> None:
    async def scene() -> None:
        sizes = {"default_page_size": 5, "min_page_size": 2, "max_page_size": 9}
        async with MapStage({**PERSISTENT, **sizes}) as stage:
            await stage.fill(*(f"{number:02}" for number in range(20)))
            assert len((await (await stage.enter()).subscribe(phase=STATE, limit=asked))["state"]) == given

    clock.run(scene())


def test_the_last_page_of_a_map_without_a_stream_tells_what_became_of_the_others(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c", "d", "e")
            reader = await stage.enter()
            await reader.subscribe(phase=STATE)
            await reader.subscribe(phase=STATE, cursor="b")
            await stage.board.publish("a", "changed", name="1")
            await stage.board.remove("c", name="1")
            await stage.fill("aa")
            last = await reader.subscribe(phase=STATE, cursor="d")
            assert {entry["key"]: entry["data"] for entry in last["state"]} == {
                "a": "changed",
                "aa": {"k": "aa"},
                "e": {"k": "e"},
            }
            assert keys(last["publications"]) == ["-c"]
            assert "phase" not in last

    clock.run(scene())


def test_who_comes_back_to_a_map_without_a_stream_is_told_that_it_has_not_recovered(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(EPHEMERAL) as stage:
            await stage.fill("a")
            result = await (await stage.enter()).subscribe(phase=LIVE, recover=True, offset=1, epoch="x")
            assert result["was_recovering"] is True
            assert not {"recovered", "recoverable", "state", "publications"} & result.keys()

    clock.run(scene())


# What is refused


@pytest.mark.parametrize(
    ("rules", "request_", "code"),
    [
        (PERSISTENT, {"phase": STATE, "cursor": "a"}, FORBIDDEN),
        (PERSISTENT, {"phase": STREAM}, FORBIDDEN),
        (PERSISTENT, {"phase": STREAM, "offset": 1, "epoch": "x"}, FORBIDDEN),
        (PERSISTENT, {"phase": 3}, INVALID),
        (PERSISTENT, {"phase": -1}, INVALID),
        (PERSISTENT, {"phase": STATE, "type": 0}, FORBIDDEN),
        (PERSISTENT, {"phase": STATE, "type": 2}, FORBIDDEN),
        (PERSISTENT, {"phase": STATE, "type": 3}, FORBIDDEN),
        (PERSISTENT, {"phase": STATE, "type": 4}, 108),
        ({**EPHEMERAL, "of": "clients"}, {"phase": STATE}, FORBIDDEN),
        ({**EPHEMERAL, "of": "users"}, {"phase": STATE, "type": 2}, FORBIDDEN),
        (EPHEMERAL, {"phase": STREAM, "recover": True, "offset": 1, "epoch": "x"}, INVALID),
        (PERSISTENT, {"phase": STATE, "tf": ENGLISH}, INVALID),
        ({**PERSISTENT, "tags_filter": True}, {"phase": STATE, "tf": {"key": "a", "cmp": "x"}}, INVALID),
        (PERSISTENT, {"phase": STATE, "epoch": "another"}, UNRECOVERABLE),
        (EPHEMERAL, {"phase": STATE, "epoch": "another"}, UNRECOVERABLE),
        (PERSISTENT, {"phase": STATE, "offset": 3}, UNRECOVERABLE),
        (PERSISTENT, {"phase": STREAM, "recover": True, "offset": 1, "epoch": "another"}, UNRECOVERABLE),
        (PERSISTENT, {"phase": STREAM, "recover": True}, UNRECOVERABLE),
        (PERSISTENT, {"phase": LIVE, "recover": True, "offset": 1, "epoch": "another"}, UNRECOVERABLE),
        (PERSISTENT, {"phase": LIVE}, UNRECOVERABLE),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    clock: Clock, rules: dict[str, Any], request_: dict[str, Any], code: int
) -> None:
    async def scene() -> None:
        async with MapStage(rules) as stage:
            reader = await stage.enter()
            assert await reader.refused(**request_) == code
            assert stage.sessions.engine.fanout.receivers("board:1") == 0
            of = {"entries": 1, "clients": 2, "users": 3}[rules.get("of", "entries")]
            assert "recovered" not in await reader.subscribe(phase=STATE, type=of)

    clock.run(scene())


def test_who_may_not_subscribe_is_refused_on_the_first_request_and_not_asked_on_others(clock: Clock) -> None:
    async def scene() -> None:
        asked: list[str] = []

        async def only_anna(session: SessionInfo, name: str) -> Grant:
            asked.append(session.user)
            if session.user != "anna":
                raise Forbidden
            return Grant(data={"board": name})

        async with MapStage({**PERSISTENT, **SMALL_PAGES, "may_subscribe": "nobody"}) as stage:
            await stage.fill("a", "b", "c")
            assert await (await stage.enter("anna")).refused(phase=STATE) == FORBIDDEN
            stage.board.on_subscribe(only_anna)
            assert await (await stage.enter("ben")).refused(phase=STATE) == FORBIDDEN
            anna = await stage.enter("anna")
            first = await anna.subscribe(phase=STATE)
            last = await anna.subscribe(phase=STATE, cursor="b", offset=3, epoch=first["epoch"])
            assert "phase" not in last
            assert last["data"] == {"board": "1"}
            assert asked == ["ben", "anna"]

    clock.run(scene())


def test_a_token_that_expires_is_told_with_the_subscription(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            soon = stage.sessions.engine.wall() + 90
            stage.sessions.auth.grants["token"] = Grant(expire_at=soon)
            reader = await stage.enter("anna")
            first = await reader.subscribe(phase=STATE, token="token")
            assert "expires" not in first
            last = await reader.subscribe(phase=STATE, token="token", cursor="b", offset=3, epoch=first["epoch"])
            assert (last["expires"], last["ttl"]) == (True, 90)
            assert len(stage.sessions.auth.asked) == 1

    clock.run(scene())


def test_a_map_that_began_anew_while_it_was_read_must_be_read_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            await stage.board.clear(name="1")
            await stage.fill("a", "b", "c")
            assert await reader.refused(phase=STATE, cursor="b", **at) == UNRECOVERABLE
            assert await reader.refused(phase=STATE, cursor="b", **at) == FORBIDDEN, "that dialogue is over"
            assert (await reader.subscribe(phase=STATE))["epoch"] != at["epoch"]

    clock.run(scene())


def test_changes_that_were_trimmed_while_they_were_read_must_be_read_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES, "stream_size": 4}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            for _ in range(6):
                await stage.fill("a")
            await reader.subscribe(phase=STATE, cursor="b", offset=3, **at)
            assert await reader.refused(phase=STREAM, offset=3, **at) == UNRECOVERABLE

    clock.run(scene())


# The dialogue


def test_a_dialogue_that_is_under_way_is_not_begun_twice(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            assert await reader.refused(phase=STATE) == ALREADY_SUBSCRIBED
            await reader.subscribe(phase=STATE, cursor="b", **at)
            assert await reader.refused(phase=STATE) == ALREADY_SUBSCRIBED, "it is subscribed"

    clock.run(scene())


def test_a_dialogue_goes_on_as_what_it_began_as(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            for type_ in (0, 2, 3):
                assert await reader.refused(phase=STATE, cursor="b", type=type_, **at) == FORBIDDEN
            assert "phase" not in await reader.subscribe(phase=STATE, cursor="b", **at)

    clock.run(scene())


def test_who_unsubscribes_in_the_middle_may_begin_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            assert (await reader.guest.ask(unsubscribe={"channel": "board:1"}))["unsubscribe"] == {}
            assert await reader.refused(phase=STATE, cursor="b", **at) == FORBIDDEN
            assert (await reader.subscribe(phase=STATE))["cursor"] == "b"

    clock.run(scene())


def test_a_dialogue_of_more_than_five_seconds_ends_the_session(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            in_time, late = await stage.enter(), await stage.enter()
            at = {"offset": 3, "epoch": (await in_time.subscribe(phase=STATE))["epoch"]}
            await late.subscribe(phase=STATE)
            await asyncio.sleep(4.9)
            assert "phase" not in await in_time.subscribe(phase=STATE, cursor="b", **at)
            await asyncio.sleep(0.2)
            late.guest.begin(subscribe={"channel": "board:1", "type": 1, "phase": STATE, "cursor": "b", **at})
            await ticks(5)
            assert late.guest.closed == (3008, "slow")
            assert not late.guest.transport.aborted, "it is not slow to read, so it is told"

    clock.run(scene())


def test_a_dialogue_that_was_given_up_long_ago_is_in_nobodys_way(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            anew, back = await stage.enter(), await stage.enter()
            epoch = (await anew.subscribe(phase=STATE))["epoch"]
            await back.subscribe(phase=STATE)
            await asyncio.sleep(6)
            assert (await anew.subscribe(phase=STATE))["cursor"] == "b"
            assert (await back.subscribe(phase=STREAM, recover=True, offset=3, epoch=epoch))["recovered"] is True

    clock.run(scene())


def test_dialogues_and_subscriptions_are_limited_together(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}, max_channels_per_session=3) as stage:
            for number in range(5):
                for key in "abc":
                    await stage.board.publish(key, 1, name=f"{number}")
            reader = await stage.enter()
            for number in range(3):
                await reader.subscribe(f"board:{number}", phase=STATE)
            assert await reader.refused("board:3", phase=STATE) == LIMIT_EXCEEDED
            await asyncio.sleep(6)
            assert "cursor" in await reader.subscribe("board:3", phase=STATE), "those before it are too old to count"

    clock.run(scene())


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_requests_of_one_session_are_answered_one_after_the_other(clock: Clock, delay: float) -> None:
    """So no two of them read pages of one map at once, however early they come."""

    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            reader = await stage.enter()
            stage.broker.delay = delay
            request = {"channel": "board:1", "type": 1, "phase": STATE}
            guest = reader.guest
            guest.say(
                guest.command(subscribe=request),
                guest.command(subscribe={**request, "cursor": "b"}),
                guest.command(subscribe=request),
            )
            await asyncio.sleep(5)
            first, second, third = guest.take()
            assert first["subscribe"]["cursor"] == "b"
            assert "phase" not in second["subscribe"]
            assert third["error"]["code"] == ALREADY_SUBSCRIBED

    clock.run(scene())


# Recovery


def test_who_comes_back_gets_what_changed_meanwhile(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(RECOVERABLE) as stage:
            await stage.fill("a", "b", "c")
            await stage.board.remove("a", name="1")
            epoch = (await (await stage.enter()).subscribe(phase=STATE))["epoch"]
            for offset, missed in ((2, ["+c", "-a"]), (4, [])):
                back = await stage.enter()
                result = await back.subscribe(phase=STREAM, recover=True, offset=offset, epoch=epoch)
                assert result["recovered"] is result["was_recovering"] is result["recoverable"] is True
                assert (keys(result.get("publications", ())), result["offset"]) == (missed, 4)
                assert "state" not in result

    clock.run(scene())


def test_who_missed_much_gets_it_page_by_page(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            epoch = (await (await stage.enter()).subscribe(phase=STATE))["epoch"]
            await stage.fill("a", "b", "c", "d", "e")
            back = await stage.enter()
            first = await back.subscribe(phase=STREAM, recover=True, offset=0, epoch=epoch)
            assert (first["phase"], first["offset"], keys(first["publications"])) == (STREAM, 2, ["+a", "+b"])
            assert "recovered" not in first
            second = await back.subscribe(phase=STREAM, recover=True, offset=2, epoch=epoch)
            assert (second["phase"], second["offset"]) == (STREAM, 4)
            last = await back.subscribe(phase=STREAM, recover=True, offset=4, epoch=epoch)
            assert (keys(last["publications"]), last["recovered"]) == (["+e"], True)

    clock.run(scene())


def test_what_is_no_longer_kept_in_full_is_not_recovered_in_part(clock: Clock) -> None:
    async def scene() -> None:
        rules = {**PERSISTENT, "stream_size": 2, "stream_ttl": 60}
        async with MapStage(rules) as stage:
            epoch = (await (await stage.enter()).subscribe(phase=STATE))["epoch"]
            await stage.fill("a", "b", "c", "d")
            back = await stage.enter()
            for offset in (0, 1, 5):  # trimmed; trimmed; not reached yet
                request = {"phase": STREAM, "recover": True, "offset": offset, "epoch": epoch}
                assert await back.refused(**request) == UNRECOVERABLE
            assert (await back.subscribe(phase=STREAM, recover=True, offset=2, epoch=epoch))["recovered"] is True
            await asyncio.sleep(61)
            later = await stage.enter()
            for offset in (2, 3):  # all of it has expired
                request = {"phase": STREAM, "recover": True, "offset": offset, "epoch": epoch}
                assert await later.refused(**request) == UNRECOVERABLE
            assert (await later.subscribe(phase=STREAM, recover=True, offset=4, epoch=epoch))["recovered"] is True

    clock.run(scene())


def test_more_changes_than_fit_into_the_last_answer_are_paged_and_if_they_came_late_read_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "max_catch_up": 3}) as stage:
            epoch = (await (await stage.enter()).subscribe(phase=STATE))["epoch"]
            await stage.fill("a", "b", "c", "d")
            in_time, late, near = await stage.enter(), await stage.enter(), await stage.enter()
            request = {"phase": STREAM, "recover": True, "epoch": epoch}
            for back in (in_time, late):
                page = await back.subscribe(offset=0, **request)
                assert (page["phase"], page["offset"]) == (STREAM, 4)
            assert (await near.subscribe(offset=1, **request))["recovered"] is True
            await stage.fill("e", "f", "g")
            assert keys((await in_time.subscribe(offset=4, **request))["publications"]) == ["+e", "+f", "+g"]
            await stage.fill("h")
            assert await late.refused(offset=4, **request) == UNRECOVERABLE

    clock.run(scene())


def test_publications_that_were_lost_on_the_way_make_the_client_come_back(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            await stage.fill("a")
            reader = await stage.live()
            epoch = (await stage.board.state(name="1"))["a"].epoch
            stage.sessions.engine.fanout.deliver("board:1", Publication("x", 2, epoch, key="b"))
            stage.sessions.engine.fanout.deliver("board:1", Publication("x", 4, epoch, key="d"))
            await ticks(3)
            lost = {"channel": "board:1", "unsubscribe": {"code": 2500, "reason": "insufficient state"}}
            assert lost in reader.guest.pushes()

    clock.run(scene())


def test_clearing_tells_all_that_nothing_is_left_and_nobody_recovers_from_before(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            await stage.fill("a", "b")
            reader = await stage.live()
            await stage.board.clear(name="1")
            await ticks(3)
            assert sorted(keys(reader.pushed())) == ["-a", "-b"]
            await stage.fill("c")
            await ticks(3)
            assert {"channel": "board:1", "unsubscribe": {"code": 2500, "reason": "insufficient state"}} in (
                reader.guest.pushes()
            )

    clock.run(scene())


# Going live


@pytest.mark.parametrize("rules", [PERSISTENT, EPHEMERAL], ids=["persistent", "ephemeral"])
def test_what_changes_while_the_broker_is_asked_is_neither_lost_nor_told_twice(
    clock: Clock, rules: dict[str, Any]
) -> None:
    async def scene() -> None:
        async with MapStage(rules) as stage:
            follower = Follower(stage)
            stage.broker.delay = 0.5
            following = asyncio.create_task(follower.run())
            for number in range(40):
                stage.broker.delay = 0.0
                await stage.board.publish(f"{number % 7}", number, name="1")
                if number % 3 == 0:
                    await stage.board.remove(f"{(number + 3) % 7}", name="1")
                stage.broker.delay = 0.5
                await asyncio.sleep(0.13)
            await asyncio.sleep(1)
            assert follower.up_to_date
            stage.broker.delay = 0.0
            assert follower.copy == await truth(stage)
            assert follower.unrecoverable == 0
            following.cancel()

    clock.run(scene())


def test_a_session_that_leaves_while_it_subscribes_leaves_nothing(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "presence": True, "clients_map": "who:"}) as stage:
            who = stage.declare("who:{channel:path}", of="clients", key_ttl=60)
            engine = stage.sessions.engine
            for moment in range(12):
                reader = await stage.enter()
                stage.broker.delay = 0.5
                reader.guest.begin(subscribe={"channel": "board:1", "type": 1, "phase": STATE})
                await asyncio.sleep(moment * 0.25 + 0.1)
                reader.guest.transport.leaves()
                await asyncio.sleep(5)
                stage.broker.delay = 0.0
                assert engine.fanout.receivers("board:1") == 0
                assert await engine.members("board:1") == {}
                assert await who.state(channel="board:1") == {}

    clock.run(scene())


# Filters and deltas


def test_a_filter_holds_for_the_state_the_stream_and_what_comes(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES, "tags_filter": True}) as stage:
            await stage.fill("a", "c", tags={"lang": "en"})
            await stage.fill("b", "d", tags={"lang": "de"})
            reader = await stage.enter()
            first = await reader.subscribe(phase=STATE, tf=ENGLISH)
            assert keys(first["state"]) == ["+a"]
            await stage.fill("e", tags={"lang": "en"})
            last = await reader.subscribe(phase=STATE, cursor="b", limit=3, offset=4, epoch=first["epoch"])
            assert (keys(last["state"]), keys(last["publications"])) == (["+c"], ["+e"])
            assert last["offset"] == 5
            await stage.fill("f", tags={"lang": "de"})
            await stage.fill("g", tags={"lang": "en"})
            await stage.board.remove("b", name="1")
            await stage.board.remove("a", name="1")
            await ticks(3)
            assert keys(reader.pushed()) == ["+g", "-a"], "not what became of entries that it has never seen"

    clock.run(scene())


def test_a_filter_holds_for_what_became_of_the_pages_before_the_last(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, **SMALL_PAGES, "tags_filter": True}) as stage:
            await stage.fill("a", "d", tags={"lang": "en"})
            await stage.fill("b", "c", tags={"lang": "de"})
            reader = await stage.enter()
            assert keys((await reader.subscribe(phase=STATE, tf=ENGLISH, limit=3))["state"]) == ["+a"]
            await stage.board.publish("a", 1, tags={"lang": "de"}, name="1")
            await stage.board.publish("b", 1, tags={"lang": "en"}, name="1")
            last = await reader.subscribe(phase=STATE, cursor="c")
            assert keys(last["state"]) == ["+b", "+d"]
            assert keys(last["publications"]) == ["-a"], "and not c, which it has never seen"

    clock.run(scene())


def test_an_entry_that_does_not_match_any_more_is_removed_for_who_filters(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "tags_filter": True}) as stage:
            await stage.fill("a", "b", tags={"lang": "en"})
            reader = await stage.live(tf=ENGLISH)
            await stage.board.publish("a", 1, tags={"lang": "de"}, name="1")
            await ticks(3)
            assert reader.pushed() == [{"key": "a", "removed": True, "offset": 3}]
            epoch = (await (await stage.enter()).subscribe(phase=STATE))["epoch"]
            back = await (await stage.enter()).subscribe(phase=STREAM, recover=True, offset=2, epoch=epoch, tf=ENGLISH)
            assert back["publications"] == [{"key": "a", "removed": True, "offset": 3}]

    clock.run(scene())


def test_deltas_are_made_by_key_and_a_removal_begins_anew(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "delta": True}) as stage:
            long = "x" * 80
            await stage.board.publish("a", {"n": 1, "x": long}, name="1")
            reader = await stage.enter()
            result = await reader.subscribe(phase=STATE, delta="fossil")
            assert result["delta"] is True
            assert result["state"][0]["data"] == f'{{"n":1,"x":"{long}"}}', "a string, and in full"
            await stage.board.publish("a", {"n": 2, "x": long}, name="1")
            await stage.board.publish("b", {"n": 3, "x": long}, name="1")
            await stage.board.publish("a", {"n": 4, "x": long}, name="1")
            await stage.board.remove("a", name="1")
            await stage.board.publish("a", {"n": 5, "x": long}, name="1")
            await ticks(3)
            pushed = reader.pushed()
            assert [one.get("delta", False) for one in pushed] == [True, False, True, False, False]
            assert pushed[3]["data"] == "null", "which the SDKs can read"
            plain = await stage.live()
            await stage.board.publish("a", {"n": 6}, name="1")
            await ticks(3)
            assert plain.pushed()[0]["data"] == {"n": 6}, "for those who did not ask, data is data"
            back = await stage.enter()
            again = await back.subscribe(phase=STREAM, recover=True, offset=1, epoch=result["epoch"], delta="fossil")
            assert [one.get("delta", False) for one in again["publications"]] == [
                False,
                False,
                True,
                False,
                False,
                False,
            ]

    clock.run(scene())


def test_deltas_are_for_channels_that_have_them_and_not_for_who_filters(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            assert "delta" not in await (await stage.enter()).subscribe(phase=STATE, delta="fossil")
        async with MapStage({**PERSISTENT, "delta": True, "tags_filter": True}) as stage:
            reader = await stage.enter()
            assert "delta" not in await reader.subscribe(phase=STATE, delta="fossil", tf=ENGLISH)

    clock.run(scene())


# Publishing


def test_a_client_publishes_and_removes(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            reader = await stage.live("anna")
            assert (await reader.publish(key="a", data={"n": 1}))["publish"] == {}
            assert (await reader.publish(key="b"))["publish"] == {}, "an entry may have no data"
            assert (await reader.publish(key="a", removed=True))["publish"] == {}
            assert (await reader.publish(key="a", removed=True))["publish"] == {}, "removing twice is removing"
            await ticks(3)
            info = {"user": "anna", "client": reader.guest.session.id}
            first, second, third = reader.pushed()
            assert (first["data"], first["info"]) == ({"n": 1}, info)
            assert (second["key"], second["info"], "data" in second) == ("b", info, False)
            assert keys([third]) == ["-a"]

    clock.run(scene())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"data": 1}, INVALID),
        ({"key": "", "data": 1}, INVALID),
        ({"key": "", "removed": True}, INVALID),
        ({"type": 0, "key": "a", "data": 1}, FORBIDDEN),
        ({"type": 2, "key": "a", "data": 1}, FORBIDDEN),
    ],
)
def test_a_publication_that_is_none_of_a_map_is_refused(clock: Clock, request_: dict[str, Any], code: int) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            reader = await stage.live()
            assert (await reader.publish(**request_))["error"]["code"] == code
            assert await stage.board.state(name="1") == {}

    clock.run(scene())


def test_clients_do_not_fill_a_map_without_end(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "max_entries": 2, "max_key_length": 3}) as stage:
            reader = await stage.live("anna")
            assert (await reader.publish(key="long", data=1))["error"]["code"] == INVALID
            assert "publish" in await reader.publish(key="abc", data=1)
            await stage.fill("longer")
            refused = (await reader.publish(key="b", data=1))["error"]
            assert (refused["code"], "2 entries" in refused["message"]) == (LIMIT_EXCEEDED, True)
            assert "publish" in await reader.publish(key="abc", data=2), "another value is no other entry"
            await stage.fill("the app may")
            assert set(await stage.board.state(name="1")) == {"abc", "longer", "the app may"}
            await stage.board.remove("longer", name="1")
            await stage.board.remove("the app may", name="1")
            assert "publish" in await reader.publish(key="b", data=1)

    clock.run(scene())


def test_many_who_come_at_once_do_not_get_past_the_limit(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, "max_entries": 3}) as stage:
            readers = [await stage.live() for _ in range(6)]
            stage.broker.delay = 1.0
            for number, reader in enumerate(readers):
                reader.guest.begin(publish={"channel": "board:1", "type": 1, "key": str(number), "data": 1})
            await asyncio.sleep(5)
            stage.broker.delay = 0.0
            assert len(await stage.board.state(name="1")) == 3

    clock.run(scene())


def test_who_may_publish_and_who_may_remove_are_asked_apart(clock: Clock) -> None:
    async def scene() -> None:
        rules = {**PERSISTENT, "may_publish": "users", "may_remove": "subscribers"}
        async with MapStage(rules) as stage:
            await stage.fill("a", "b")
            nobody, anna, subscriber = await stage.enter(), await stage.enter("anna"), await stage.live()
            published = {"key": "c", "data": 1}
            removed = {"key": "a", "removed": True}
            assert (await nobody.publish(**published))["error"]["code"] == FORBIDDEN
            assert (await nobody.publish(**removed))["error"]["code"] == FORBIDDEN
            assert "publish" in await anna.publish(**published)
            assert (await anna.publish(**removed))["error"]["code"] == FORBIDDEN
            assert (await subscriber.publish(**published))["error"]["code"] == FORBIDDEN
            assert "publish" in await subscriber.publish(**removed)
            assert list(await stage.board.state(name="1")) == ["b", "c"]

    clock.run(scene())


def test_the_key_of_a_client_is_its_own_whatever_it_says(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, "client_key": "client_id"}) as stage:
            reader = await stage.live()
            await reader.publish(key="another's", data=1)
            await reader.publish(data=2)
            assert list(await stage.board.state(name="1")) == [reader.guest.session.id]
            await reader.publish(key="another's", removed=True)
            assert await stage.board.state(name="1") == {}
        async with MapStage({**EPHEMERAL, "client_key": "user_id"}) as stage:
            anna, nobody = await stage.live("anna"), await stage.live()
            await anna.publish(key="another's", data=1)
            assert (await nobody.publish(key="anna", data=1))["error"]["code"] == FORBIDDEN
            assert (await nobody.publish(key="anna", removed=True))["error"]["code"] == FORBIDDEN
            assert list(await stage.board.state(name="1")) == ["anna"]

    clock.run(scene())


def test_a_client_fills_a_map_as_far_as_its_rules_say_and_the_app_further(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "max_entries": 2}) as stage:
            await stage.fill("a")
            reader = await stage.live()
            stage.broker.delay = 0.1
            for key in "bcd":
                reader.guest.begin(publish={"channel": "board:1", "type": 1, "key": key, "data": 1})
            await asyncio.sleep(1)
            stage.broker.delay = 0.0
            added, *refused = [reply for reply in reader.guest.take() if "id" in reply]
            assert "publish" in added
            full = {"code": LIMIT_EXCEEDED, "message": "limit exceeded: clients may fill the map to 2 entries"}
            assert [reply["error"] for reply in refused] == [full, full]
            assert "publish" in await reader.publish(key="a", data=2), "it takes the place of one"
            await stage.fill("e")
            assert (await reader.publish(key="c", data=1))["error"] == full
            assert list(await stage.board.state(name="1")) == ["a", "b", "e"]
            for key in "ab":
                assert "publish" in await reader.publish(key=key, removed=True)
            assert "publish" in await reader.publish(key="c", data=1)
            assert (await reader.publish("board:2", key="c", data=1))["publish"] == {}, "each channel counts alone"

    clock.run(scene())


def test_maps_may_be_without_a_bound(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "max_entries": 0}) as stage:
            reader = await stage.enter()
            for number in range(5):
                assert "publish" in await reader.publish(key=str(number), data=1)

    clock.run(scene())


def test_the_key_of_a_client_is_as_long_as_it_may_be_and_the_apps_own_as_it_likes(clock: Clock) -> None:
    async def scene() -> None:
        asked: list[str] = []
        async with MapStage({**PERSISTENT, "max_key_length": 5}) as stage:

            @stage.board.on_publish
            async def ask(key: str) -> None:
                asked.append(key)

            await stage.fill("very long")
            reader = await stage.live()
            assert "publish" in await reader.publish(key="é" * 5, data=1)
            assert (await reader.publish(key="x" * 6, data=1))["error"] == {
                "code": INVALID,
                "message": "bad request: a key has at most 5 characters",
            }
            assert asked == ["é" * 5]
            assert list(await stage.board.state(name="1")) == ["very long", "é" * 5]
            assert "publish" in await reader.publish(key="very long", removed=True)
            assert list(await stage.board.state(name="1")) == ["é" * 5]

    clock.run(scene())


@pytest.mark.parametrize("binary", [False, True])
def test_bytes_of_a_client_become_an_entry_only_where_that_is_declared(clock: Clock, *, binary: bool) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, "binary": binary}) as stage:
            guest = stage.sessions.arrive(BINARY)
            guest.transport.says(bytes.fromhex("04 0801 2200"))
            guest.transport.says(bytes.fromhex("17 0802 3a13 0a07 626f6172643a31 1203 ff0001 1801 2201 61"))
            await ticks(5)
            assert guest.closed is None
            state = await stage.board.state(name="1")
            assert [entry.data for entry in state.values()] == ([b"\xff\x00\x01"] if binary else [])

    clock.run(scene())


def test_the_apps_function_gets_what_is_published_and_may_change_it(clock: Clock) -> None:
    async def scene() -> None:
        seen: list[Any] = []

        async def judge(number: Annotated[int, Data()], key: str, name: str, session: SessionInfo) -> int | None:
            seen.append((number, key, name, session.user))
            if number < 0:
                raise CommandError("too cold", code=444)
            return number * 2 if number > 9 else None

        async with MapStage({**PERSISTENT, "may_publish": "nobody"}) as stage:
            stage.board.on_publish(judge)
            reader = await stage.live("anna")
            await reader.publish(key="a", data=1)
            await reader.publish(key="b", data=10)
            assert (await reader.publish(key="c", data=-1))["error"] == {"code": 444, "message": "too cold"}
            assert (await reader.publish(key="d", data="x"))["error"]["code"] == INVALID
            assert await truth(stage) == {"a": "1", "b": "20"}
            assert seen == [(1, "a", "1", "anna"), (10, "b", "1", "anna"), (-1, "c", "1", "anna")]

    clock.run(scene())


def test_the_entry_of_a_client_goes_with_its_subscription_where_the_rules_say_so(clock: Clock) -> None:
    async def scene() -> None:
        rules = {**EPHEMERAL, "client_key": "client_id", "remove_on_leave": True, "clients_map": "who:"}
        async with MapStage(rules) as stage:
            who = stage.declare("who:{channel:path}", of="clients", key_ttl=60)
            watcher, leaver, lost = await stage.live(), await stage.live(), await stage.live()
            await leaver.publish(data=1)
            await lost.publish(data=1)
            await ticks(3)
            watcher.guest.take()
            await leaver.guest.ask(unsubscribe={"channel": "board:1"})
            lost.guest.transport.leaves()
            await ticks(5)
            assert keys(watcher.pushed()) == ["-" + leaver.guest.session.id, "-" + lost.guest.session.id]
            assert list(await who.state(channel="board:1")) == [watcher.guest.session.id]

    clock.run(scene())


def test_the_entry_of_a_client_goes_where_nobody_else_sees_it_leave(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, "client_key": "client_id", "remove_on_leave": True}) as stage:
            leaver = await stage.live()
            await leaver.publish(data=1)
            leaver.guest.transport.leaves()
            await ticks(5)
            assert await stage.board.state(name="1") == {}

    clock.run(scene())


# Others


def test_sdks_are_told_how_often_to_publish(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, **SMALL_PAGES, "debounce": "50ms"}) as stage:
            assert (await (await stage.enter()).subscribe(phase=STATE))["publish_debounce"] == 50

    clock.run(scene())


def test_presence_and_announcements_are_as_in_a_stream(clock: Clock) -> None:
    async def scene() -> None:
        rules = {**PERSISTENT, "presence": True, "join_leave": "force", "may_see_presence": "everyone"}
        async with MapStage(rules) as stage:
            first = await stage.live("anna")
            second = await stage.live("ben")
            await ticks(3)
            asked = await first.guest.ask(presence={"channel": "board:1"})
            assert {one["user"] for one in asked["presence"]["presence"].values()} == {"anna", "ben"}
            await second.guest.ask(unsubscribe={"channel": "board:1"})
            await ticks(5)
            told = [next(iter(push.keys() - {"channel"})) for push in first.guest.pushes()]
            assert told == ["join", "join", "leave"]
            assert (await first.guest.ask(history={"channel": "board:1"}))["error"]["code"] == 108

    clock.run(scene())


def test_a_subscription_that_the_server_makes_gets_the_changes_alone(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(PERSISTENT) as stage:
            await stage.fill("a")
            stage.sessions.auth.identities["anna"] = Identity("anna", subscriptions={"board:1": Grant()})
            guest = stage.sessions.arrive()
            assert (await guest.ask(connect={"token": "anna"}))["connect"]["subs"] == {"board:1": {}}
            one_way = stage.sessions.arrive(ONE_WAY)
            one_way.transport.says('{"token":"anna"}')
            await ticks(5)
            one_way.take()
            await stage.fill("b")
            await ticks(3)
            assert [push["pub"]["key"] for push in guest.pushes()] == ["b"]
            assert [push["pub"]["key"] for push in one_way.take()] == ["b"]

    clock.run(scene())


def test_presence_maps_are_of_their_own_types(clock: Clock) -> None:
    async def scene() -> None:
        for of, type_ in (("clients", 2), ("users", 3)):
            async with MapStage({**EPHEMERAL, "of": of}) as stage:
                reader = await stage.enter()
                assert (await reader.subscribe(phase=STATE, type=type_))["type"] == 1

    clock.run(scene())


# Everything at once


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_whatever_happens_a_client_ends_with_the_entries_of_the_server(data: st.DataObject) -> None:
    """Publications, removals, expiry, clearing, pages, cuts and comebacks, at any moment of any of them."""

    async def scene() -> None:
        draw = data.draw
        mode = draw(st.sampled_from(["ephemeral", "recoverable", "persistent"]))
        rules: dict[str, Any] = {"mode": mode, **SMALL_PAGES, "delta": mode != "ephemeral", "tags_filter": True}
        if mode != "persistent":
            rules["key_ttl"] = draw(st.sampled_from([2.0, 60.0]))
        if mode != "ephemeral":
            rules["stream_size"] = draw(st.sampled_from([1, 3, 100]))
            rules["stream_ttl"] = draw(st.sampled_from([1.0, 60.0]))
        filtered = draw(st.booleans())
        async with MapStage(rules, max_answer_bytes=draw(st.sampled_from([1500, 2**24]))) as stage:
            delta, limit = not filtered and draw(st.booleans()), draw(st.integers(0, 3))
            follower = Follower(stage, limit=limit, delta=delta, tags=ENGLISH if filtered else None)
            far = draw(st.sampled_from([0.0, 0.05, 0.3]))
            stage.broker.lag = draw(st.sampled_from([0.0, 0.0, 0.2, 1.0]))
            following = asyncio.create_task(follower.run())
            for number in range(draw(st.integers(1, 25))):
                stage.broker.delay = 0.0
                key = draw(st.sampled_from("abcdefg"))
                match draw(st.sampled_from(["publish"] * 6 + ["remove", "remove", "clear", "cut", "cut"])):
                    case "publish":
                        tags = {"lang": draw(st.sampled_from(["en", "de"]))}
                        await stage.board.publish(key, {"n": number, "x": "x" * 60}, tags=tags, name="1")
                    case "remove":
                        await stage.board.remove(key, name="1")
                    case "clear":
                        await stage.board.clear(name="1")
                    case _:
                        follower.cut()
                stage.broker.delay = far
                await asyncio.sleep(draw(st.sampled_from([0.0, 0.0, 0.02, 0.1, 0.7, 3.0])))
            stage.broker.delay = 0.0
            tags = Filter.parse(FilterNode(**ENGLISH)) if filtered else None
            for _ in range(200):
                await asyncio.sleep(0.05)
                if following.done() or (follower.up_to_date and follower.copy == await truth(stage, tags)):
                    break
            assert not following.done(), following.exception()
            assert follower.up_to_date
            assert follower.copy == await truth(stage, tags)
            following.cancel()

    with Clock() as clock:
        clock.run(scene())
