"""The hub of one process, from start to stop."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport, RemoteBroker, Stage, WatchedBroker

from hubbub import Client, Goodbye, Position, Publication, UsageError
from hubbub.brokers.base import NO_GUARD, Guard, Retention
from hubbub.errors import ForceDisconnect, ForceReconnect, TooManyConnections
from hubbub.hub.encodings import plain

AnyClient = Client[Any]
RESTART = Goodbye(1012, "the server restarts: come back in a moment", "hub")


async def listen_forever(client: AnyClient) -> None:
    async for _ in client:
        pass


# Disconnecting


def test_one_client_of_a_user_can_be_ended_and_some_can_be_spared(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        clients = [stage.welcome(FakeTransport(), user="anna") for _ in range(4)]
        one, two, three, four = (client.info.id for client in clients)
        stage.engine.disconnect("anna", ForceDisconnect(), secret="that of a session")
        stage.engine.disconnect("anna", ForceDisconnect(), client="another")
        assert stage.goodbyes == []
        stage.engine.disconnect("anna", ForceDisconnect(), client=two)
        assert stage.goodbyes == [(two, Goodbye(3503, "force disconnect", "app"))]
        stage.engine.disconnect("anna", ForceReconnect("bye"), spared=[three])
        assert stage.goodbyes[1:] == [(id, Goodbye(3011, "bye", "app")) for id in (one, four)]
        assert list(stage.engine.clients) == [three]
        clients[2].on_lost(Goodbye(1001, "", "peer"))
        assert len(stage.engine.clients_of_user) == 0

    clock.run(scenario())


# Stopping


def test_begin_stop_tells_every_client_to_come_back(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        transports = [FakeTransport() for _ in range(3)]
        handlers = [stage.come(listen_forever, transport) for transport in transports]
        await ticks(2)
        assert not stage.engine.stopping
        stage.engine.begin_stop()
        assert [transport.closed for transport in transports] == [[RESTART[:2]]] * 3
        assert not any(transport.aborted for transport in transports)
        assert [goodbye for _, goodbye in stage.goodbyes] == [RESTART] * 3
        assert stage.engine.clients == {}
        assert stage.engine.stopping
        await asyncio.gather(*handlers)

    with caplog.at_level(logging.DEBUG, "hubbub"):
        clock.run(scenario())
    assert caplog.records == [], "a stop is nothing to warn of"


def test_what_was_published_before_the_stop_arrives_before_the_goodbye(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            await listen_forever(client)

        handler = stage.come(body, transport)
        await ticks(2)
        await stage.engine.publish("lobby", "last")
        stage.engine.begin_stop()
        assert transport.received == ["last"]
        await handler

    clock.run(scenario())


def test_beginning_to_stop_twice_says_goodbye_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        stage.engine.begin_stop()
        stage.engine.begin_stop()
        await stage.engine.stop()
        await handler
        assert len(stage.goodbyes) == 1
        assert len(transport.closed) == 1

    clock.run(scenario())


def test_an_idle_hub_stops_at_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        started = clock.time()
        await stage.engine.stop()
        assert clock.time() == started

    clock.run(scenario())


def test_stop_waits_for_goodbyes_that_are_still_told(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(stop_timeout=5), FakeTransport()
        told: list[str] = []

        async def note(client: AnyClient, goodbye: Goodbye) -> None:
            await asyncio.sleep(3)
            told.append(client.info.id)

        stage.engine.on_goodbye.append(note)
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        started = clock.time()
        await stage.engine.stop()
        assert told == ["client-1"]
        assert clock.time() - started == pytest.approx(3)
        assert not stage.engine._chores, "what is done is not held"
        await handler

    clock.run(scenario())


@pytest.mark.parametrize("stop_timeout", [1, 5])
def test_stop_ends_in_its_time_whatever_is_not_done(clock: Clock, stop_timeout: int) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(stop_timeout=stop_timeout), FakeTransport()
        seen: list[str] = []

        async def hang(client: AnyClient, goodbye: Goodbye) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                seen.append("cancelled")

        stage.engine.on_goodbye.append(hang)
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        started = clock.time()
        await stage.engine.stop()
        assert clock.time() - started == pytest.approx(stop_timeout)
        await ticks(2)
        assert seen == ["cancelled"]
        await handler

    clock.run(scenario())


@pytest.mark.parametrize(("begun_before", "seconds"), [(0, 5), (4, 1), (60, 0)])
def test_the_time_of_a_stop_counts_from_its_beginning(clock: Clock, begun_before: float, seconds: float) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(stop_timeout=5), FakeTransport()
        stage.engine.on_goodbye.append(lambda client, goodbye: asyncio.sleep(3600))
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        stage.engine.begin_stop()
        await asyncio.sleep(begun_before)
        stage.engine.begin_stop()
        started = clock.time()
        await stage.engine.stop()
        assert clock.time() - started == pytest.approx(seconds)
        await handler

    clock.run(scenario())


def test_stop_stops_the_broker(clock: Clock) -> None:
    async def scenario() -> None:
        broker = WatchedBroker()
        stage = await Stage.open(broker)
        await stage.engine.stop()
        with pytest.raises(UsageError, match="the hub is not running"):
            await stage.engine.publish("lobby", "too late")

    clock.run(scenario())


# Publishing


def test_publish_encodes_and_answers_with_the_position(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(history_size=10), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            first = await stage.engine.publish("lobby", {"a": 1})
            second = await stage.engine.publish("lobby", b"raw")
            assert (first.offset, second.offset) == (1, 2)
            assert first.epoch == second.epoch
            await ticks(2)

        await stage.come(body, transport)
        assert transport.received == ['{"a":1}', b"raw"]

    clock.run(scenario())


def test_publish_asks_the_broker_to_keep_what_the_settings_say(clock: Clock) -> None:
    class Keeping(WatchedBroker):
        asked: Retention | None = None

        async def publish(
            self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
        ) -> Position:
            self.asked = retention
            return await super().publish(channel, publication, retention, guard)

    async def scenario() -> None:
        broker = Keeping()
        stage = await Stage.open(broker, history_size=7, history_ttl=12.5)
        await stage.engine.publish("lobby", "x")
        assert broker.asked == Retention(7, 12.5)

    clock.run(scenario())


@pytest.mark.parametrize("nonsense", [object(), "half a pair: \ud800"])
def test_what_cannot_be_sent_is_refused_and_disturbs_nobody(clock: Clock, nonsense: object) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            await stage.engine.publish("lobby", "before")
            with pytest.raises(UsageError, match="cannot send"):
                await stage.engine.publish("lobby", nonsense)
            await stage.engine.publish("lobby", "after")
            await ticks(2)

        await stage.come(body, transport)
        assert transport.received == ["before", "after"]

    clock.run(scenario())


@pytest.mark.parametrize("tags", [{"a": "\ud800"}, {"\udfff": "b"}, {"a": "b", "c": "\ud800 and more"}])
def test_tags_that_no_message_could_hold_are_refused_with_the_remedy(clock: Clock, tags: dict[str, str]) -> None:
    async def scenario() -> None:
        stage = await Stage.open(history_size=5)
        with pytest.raises(UsageError, match=r"half a surrogate pair.*take it out"):
            await stage.engine.publish("lobby", "x", tags=tags)
        with pytest.raises(UsageError, match=r"the tag 'a' is 1, which is no text; give str\(1\)"):
            await stage.engine.publish("lobby", "x", tags={"a": 1})  # type: ignore[dict-item]
        await stage.engine.publish("lobby", "x", tags={"é": "😀"})
        kept, _ = await stage.engine.history("lobby")
        assert [publication.tags for publication in kept] == [{"é": "😀"}]

    clock.run(scenario())


def test_publishing_from_another_event_loop_is_refused_with_the_remedy(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        seen: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(stage.engine.publish("lobby", "x"))
            except UsageError as error:
                seen.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert "publish_sync" in str(seen[0])

    clock.run(scenario())


# Channels


def test_the_broker_is_asked_once_for_the_first_and_once_for_the_last(clock: Clock) -> None:
    async def scenario() -> None:
        broker = WatchedBroker()
        stage = await Stage.open(broker)
        engine = stage.engine
        one, two = FakeTransport(), FakeTransport()
        await engine.join("lobby", one, plain(one.framing))
        await engine.join("lobby", two, plain(two.framing))
        assert broker.calls == [("subscribe", "lobby")]
        await engine.leave("lobby", one)
        assert broker.calls == [("subscribe", "lobby")]
        await engine.leave("lobby", two)
        await engine.leave("lobby", two)
        assert broker.calls == [("subscribe", "lobby"), ("unsubscribe", "lobby")]
        await engine.join("lobby", one, plain(one.framing))
        assert broker.calls[2:] == [("subscribe", "lobby")]

    clock.run(scenario())


def test_who_joins_while_the_broker_still_subscribes_for_another_waits_as_well(clock: Clock) -> None:
    async def scenario() -> None:
        broker = RemoteBroker()
        engine = (await Stage.open(broker)).engine
        first, second = FakeTransport(), FakeTransport()
        joining = asyncio.create_task(engine.join("lobby", first, plain(first.framing)))
        await ticks()
        await engine.join("lobby", second, plain(second.framing))
        await engine.publish("lobby", "after the join")
        await ticks(2)
        assert second.received == ["after the join"]
        await joining
        assert broker.calls == [("subscribe", "lobby")]

    clock.run(scenario())


def test_who_joins_while_the_broker_still_unsubscribes_for_another_is_subscribed_in_the_end(clock: Clock) -> None:
    async def scenario() -> None:
        broker = RemoteBroker()
        engine = (await Stage.open(broker)).engine
        leaver, joiner = FakeTransport(), FakeTransport()
        await engine.join("lobby", leaver, plain(leaver.framing))
        leaving = asyncio.create_task(engine.leave("lobby", leaver))
        await ticks()
        await engine.join("lobby", joiner, plain(joiner.framing))
        await leaving
        await asyncio.sleep(10)
        await engine.publish("lobby", "after the join")
        await ticks(2)
        assert joiner.received == ["after the join"]
        assert broker.subscribed == {"lobby"}

    clock.run(scenario())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.floats(0, 3)), max_size=12))
def test_whoever_comes_and_goes_the_broker_is_subscribed_in_the_end_if_somebody_is_there(
    moves: list[tuple[bool, int, float]],
) -> None:
    async def scenario() -> None:
        broker = RemoteBroker()
        engine = (await Stage.open(broker)).engine
        transports = [FakeTransport() for _ in range(3)]
        there: set[int] = set()
        under_way = []
        for joins, number, pause in moves:
            (there.add if joins else there.discard)(number)
            one = transports[number]
            step = engine.join("lobby", one, plain(one.framing)) if joins else engine.leave("lobby", one)
            under_way.append(asyncio.create_task(step))
            await asyncio.sleep(pause)
        await asyncio.gather(*under_way)
        assert broker.subscribed == ({"lobby"} if there else set())
        await engine.publish("lobby", "the end")
        await ticks(3)
        for number, transport in enumerate(transports):
            assert transport.received == (["the end"] if number in there else [])

    with Clock() as clock:
        clock.run(scenario())


def test_a_join_that_the_broker_fails_is_none_and_may_be_tried_again(clock: Clock) -> None:
    async def scenario() -> None:
        broker = RemoteBroker()
        stage, transport = await Stage.open(broker), FakeTransport()

        async def body(client: AnyClient) -> None:
            broker.reachable = False
            with pytest.raises(ConnectionError):
                await client.join("lobby")
            broker.reachable = True
            await client.join("lobby")
            await stage.engine.publish("lobby", "here")
            await ticks(2)

        await stage.come(body, transport)
        assert transport.received == ["here"]

    clock.run(scenario())


def test_an_unsubscribe_that_fails_behind_a_goodbye_is_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(WatchedBroker):
        async def unsubscribe(self, channel: str) -> None:
            raise ConnectionError("the broker is gone")

    async def scenario() -> None:
        stage, transport = await Stage.open(Failing()), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            await listen_forever(client)

        handler = stage.come(body, transport)
        await ticks(2)
        transport.leaves()
        await handler
        await ticks(2)

    clock.run(scenario())
    assert "a background step of the hub failed" in caplog.text
    assert "the broker is gone" in caplog.text


# Counting


def test_a_client_is_counted_in_and_out_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open(max_connections=1)
        for _ in range(3):
            transport = FakeTransport()
            handler = stage.come(listen_forever, transport)
            await ticks(2)
            assert len(stage.engine.clients) == 1
            with pytest.raises(TooManyConnections):
                stage.engine.admission.enter("192.0.2.1")
            transport.leaves()
            transport.leaves()
            await handler
            assert stage.engine.clients == {}
        assert len(stage.goodbyes) == 3

    clock.run(scenario())


def test_clients_are_found_by_their_ids(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        transports = [FakeTransport(), FakeTransport()]
        handlers = [stage.come(listen_forever, transport) for transport in transports]
        await ticks(2)
        assert sorted(stage.engine.clients) == ["client-1", "client-2"]
        assert all(client.info.id == name for name, client in stage.engine.clients.items())
        transports[0].leaves()
        assert sorted(stage.engine.clients) == ["client-2"]
        transports[1].leaves()
        await asyncio.gather(*handlers)

    clock.run(scenario())


def test_the_transport_is_given_the_policy_of_the_settings(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open(
            max_message_size=1,
            max_queued_bytes=2,
            close_timeout=3.0,
            ping_interval=4.0,
            ping_timeout=5.0,
            max_queued_bytes_total=6000,
            max_answer_bytes=1024,
            slow_timeout=7.0,
        )
        transport = FakeTransport()
        client = stage.welcome(transport)
        policy = transport.policy
        assert policy is not None
        assert policy[:5] == (1, 2, 3.0, 4.0, 5.0)
        assert (policy.backlog.limit, policy.backlog.patience) == (6000, 7.0)
        assert policy.heartbeat is stage.engine.policy.heartbeat
        await client.close()

    clock.run(scenario())
