"""Presence as the entries of map channels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.clock import Clock, TravellingLoop, ticks
from tests.hub.maps.stage import EPHEMERAL, PERSISTENT, MapStage, Reader, keys

from hubbub import Grant
from hubbub.channels import Rules
from hubbub.declared import MapChannel
from hubbub.errors import UsageError
from hubbub.protocol.publication import Member


@asynccontextmanager
async def stage_with_mirrors(**rules: object) -> AsyncIterator[tuple[MapStage, MapChannel, MapChannel]]:
    """A stage with streams ``room:{name}`` whose members are in the maps ``who:room:…`` and ``users:room:…``."""
    async with MapStage(EPHEMERAL) as stage:
        who = stage.declare("who:{channel:path}", of="clients", **({"key_ttl": 60} | rules))
        users = stage.declare("users:{channel:path}", of="users", **({"key_ttl": 60} | rules))
        stage.sessions.channel("room:{name}", clients_map="who:", users_map="users:")
        yield stage, who, users


async def watching(stage: MapStage, channel: str, type_: int) -> Reader:
    reader = await stage.enter()
    await reader.subscribe(channel, phase=2, type=type_)
    return reader


def test_who_comes_and_leaves_is_seen_in_the_maps(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, users):
            clients_seen = await watching(stage, "who:room:1", 2)
            users_seen = await watching(stage, "users:room:1", 3)
            anna = await stage.sessions.subscribed("room:1", "anna")
            client = anna.session.id
            [came] = clients_seen.pushed()
            assert came == {"key": client, "info": {"user": "anna", "client": client}}
            assert users_seen.pushed() == [{"key": "anna"}]
            assert list(await who.state(channel="room:1")) == [client]
            await anna.ask(unsubscribe={"channel": "room:1"})
            await ticks(3)
            assert clients_seen.pushed() == [{"key": client, "removed": True}]
            assert users_seen.pushed() == [], "it may come back in a moment"
            assert await who.state(channel="room:1") == {}
            assert list(await users.state(channel="room:1")) == ["anna"]

    clock.run(scene())


def test_who_is_lost_is_seen_to_leave(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, _):
            anna = await stage.sessions.subscribed("room:1", "anna")
            anna.transport.leaves()
            await ticks(3)
            assert await who.state(channel="room:1") == {}

    clock.run(scene())


def test_the_anonymous_are_clients_and_no_user(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, users):
            nobody = await stage.sessions.subscribed("room:1")
            assert list(await who.state(channel="room:1")) == [nobody.session.id]
            assert await users.state(channel="room:1") == {}

    clock.run(scene())


def test_who_stays_is_seen_for_as_long(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, users):
            watcher = await watching(stage, "who:room:1", 2)
            anna = await stage.sessions.subscribed("room:1", "anna")
            again = await stage.sessions.subscribed("room:1", "anna")
            for _ in range(20):
                await asyncio.sleep(10)
                assert list(await who.state(channel="room:1")) == sorted((anna.session.id, again.session.id))
                assert list(await users.state(channel="room:1")) == ["anna"]
            assert len(watcher.pushed()) == 2, "and nobody is told of it again"

    clock.run(scene())


def test_a_user_expires_when_its_last_session_has_left(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors(key_ttl=9) as (stage, _, users):
            first = await stage.sessions.subscribed("room:1", "anna")
            second = await stage.sessions.subscribed("room:1", "anna")
            first.transport.leaves()
            await asyncio.sleep(11)
            assert list(await users.state(channel="room:1")) == ["anna"], "by the other one"
            second.transport.leaves()
            await asyncio.sleep(11)
            assert await users.state(channel="room:1") == {}

    clock.run(scene())


def test_all_sessions_are_touched_with_one_timer_and_none_when_nobody_is_there(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, _, _users):
            mirrors = stage.sessions.engine.mirrors
            loop = asyncio.get_running_loop()
            assert isinstance(loop, TravellingLoop)
            guests = [await stage.sessions.subscribed("room:0", "anna")]
            before = loop.timers()
            guests += [await stage.sessions.subscribed(f"room:{n % 7}", f"user-{n}") for n in range(250)]
            assert loop.timers() == before
            for guest in guests:
                guest.transport.leaves()
            await asyncio.sleep(100)
            assert len(mirrors._timers) == 0
            assert mirrors._touched == {}
            assert mirrors._clients == {}

    clock.run(scene())


def test_who_leaves_while_others_are_touched_is_not_shown_again(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, _):
            stays = await stage.sessions.subscribed("room:1")
            leaves = await stage.sessions.subscribed("room:1")
            await asyncio.sleep(19.9)
            stage.broker.delay = 0.5
            await asyncio.sleep(0.3)  # the first is being touched
            leaves.transport.leaves()
            await asyncio.sleep(5)
            stage.broker.delay = 0.0
            assert list(await who.state(channel="room:1")) == [stays.session.id]

    clock.run(scene())


def test_who_comes_in_two_ways_at_once_is_there_once(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, who, _):
            stage.broker.delay = 0.5
            guest = await stage.sessions.enter("anna")
            guest.begin(subscribe={"channel": "room:1"})
            joining = asyncio.ensure_future(guest.session.subscribe("room:1", Grant()))
            await asyncio.sleep(5)
            assert joining.done()
            assert len(await who.state(channel="room:1")) == 1
            guest.transport.leaves()
            await asyncio.sleep(5)
            assert await who.state(channel="room:1") == {}
            assert stage.sessions.engine.mirrors._clients == {}

    clock.run(scene())


def test_who_leaves_twice_takes_nobody_along(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors(key_ttl=9) as (stage, _, users):
            mirrors, rules = stage.sessions.engine.mirrors, Rules(users_map="users:")
            leaver, stays = Member("anna", "client-1"), Member("anna", "client-2")
            for member in (leaver, stays, leaver):
                await mirrors.enter("room:1", rules, member)
            for _ in range(2):
                await mirrors.exit("room:1", rules, leaver)
            await asyncio.sleep(30)
            assert list(await users.state(channel="room:1")) == ["anna"]
            await mirrors.exit("room:1", rules, stays)
            await asyncio.sleep(11)
            assert await users.state(channel="room:1") == {}

    clock.run(scene())


def test_touching_many_leaves_the_event_loop_its_turns(clock: Clock) -> None:
    async def scene() -> None:
        async with stage_with_mirrors() as (stage, _, _users):
            for number in range(250):
                await stage.sessions.subscribed(f"room:{number}")
            touching = asyncio.ensure_future(stage.sessions.engine.mirrors._touch(60.0))
            turns = 0
            while not touching.done():
                await ticks()
                turns += 1
            assert turns >= 3

    clock.run(scene())


def test_a_stopped_hub_touches_nothing(clock: Clock) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TravellingLoop)
        async with stage_with_mirrors() as (stage, _, _users):
            guest = await stage.sessions.subscribed("room:1")
            mirrors = stage.sessions.engine.mirrors
            [timer] = mirrors._timers.values()
            mirrors.stop()
            assert timer.cancelled()
            guest.transport.leaves()

    clock.run(scene())


def test_presence_in_a_map_that_keeps_its_entries_needs_no_touch(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage(EPHEMERAL) as stage:
            who = stage.declare("who:{channel:path}", of="clients", **PERSISTENT)
            stage.sessions.channel("room:{name}", clients_map="who:")
            guest = await stage.sessions.subscribed("room:1")
            assert stage.sessions.engine.mirrors._timers == {}
            guest.transport.leaves()
            await ticks(3)
            assert await who.state(channel="room:1") == {}

    clock.run(scene())


def test_a_map_channel_is_mirrored_as_a_stream_is(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**EPHEMERAL, "clients_map": "who:"}) as stage:
            stage.declare("who:{channel:path}", of="clients", key_ttl=60)
            watcher = await watching(stage, "who:board:1", 2)
            reader = await stage.live()
            await reader.guest.ask(unsubscribe={"channel": "board:1"})
            await ticks(3)
            client = reader.guest.session.id
            assert keys(watcher.pushed()) == [f"+{client}", f"-{client}"]

    clock.run(scene())


@pytest.mark.parametrize(
    ("rules", "there"),
    [
        ({"clients_map": "who:"}, None),
        ({"clients_map": "who:"}, "users"),
        ({"users_map": "who:"}, "clients"),
        ({"users_map": "who:"}, "entries"),
        ({"clients_map": "other:"}, "clients"),
    ],
)
def test_a_mirror_that_leads_nowhere_is_told_when_the_hub_starts(
    clock: Clock, rules: dict[str, str], there: str | None
) -> None:
    async def scene() -> None:
        async with MapStage(EPHEMERAL) as stage:
            stage.sessions.channel("room:{name}:{rest:path}", **rules)
            if there is not None:
                stage.declare("who:{channel:path}", of=there, key_ttl=60)
            [(rule, prefix)] = rules.items()
            told = (
                rf"{rule}='{prefix}' of channel 'room:\{{name\}}:\{{rest:path\}}' leads to '{prefix}room:x:x'.*declare"
            )
            with pytest.raises(UsageError, match=told):
                stage.sessions.engine.atlas.ensure_complete()

    clock.run(scene())
