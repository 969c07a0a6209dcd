"""One declared channel, as the app uses it."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.clock import Clock
from tests.hub.connections import ANNA

from hubbub import Channel, Position, UsageError
from hubbub.channels import Pattern, Rules
from hubbub.hub.declaration import Declaration
from hubbub.hub.kinds.stream import STREAM


class Published:
    """What was published, as ``Hub`` takes it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def publish(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = ""
    ) -> Position:
        self.calls.append((channel, data, tags, idempotency_key))
        return Position(len(self.calls), "epoch")

    def publish_sync(
        self,
        channel: str,
        data: Any,
        timeout: float | None = 10.0,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
    ) -> Position:
        self.calls.append((channel, data, timeout, tags, idempotency_key))
        return Position(len(self.calls), "epoch")


def declared(pattern: str = "game:{id}:{team}") -> tuple[Channel, Declaration, Published]:
    declaration = Declaration(Pattern(pattern), Rules(presence=True), STREAM)
    published = Published()
    return Channel(declaration, published), declaration, published


def test_a_channel_says_what_was_declared() -> None:
    channel, declaration, _ = declared()
    assert channel.pattern == "game:{id}:{team}"
    assert channel.rules is declaration.rules
    assert channel.name(id=7, team="red") == "game:7:red"
    with pytest.raises(UsageError, match="takes id, team; given: id"):
        channel.name(id=7)


def test_publishing_takes_the_parameters_of_the_name(clock: Clock) -> None:
    async def scenario() -> None:
        channel, _, published = declared()
        assert await channel.publish({"a": 1}, id=7, team="red") == Position(1, "epoch")
        await channel.publish("x", id=7, team="blue", tags={"lang": "en"}, idempotency_key="k1")
        assert published.calls == [
            ("game:7:red", {"a": 1}, None, ""),
            ("game:7:blue", "x", {"lang": "en"}, "k1"),
        ]
        with pytest.raises(UsageError, match="takes id, team; given: none"):
            await channel.publish("x")
        assert len(published.calls) == 2

    clock.run(scenario())


def test_publishing_from_a_thread_takes_the_parameters_of_the_name_too() -> None:
    channel, _, published = declared()
    assert channel.publish_sync({"a": 1}, id=7, team="red") == Position(1, "epoch")
    channel.publish_sync("x", id=7, team="blue", tags={"lang": "en"}, idempotency_key="k1", timeout=None)
    assert published.calls == [
        ("game:7:red", {"a": 1}, 10.0, None, ""),
        ("game:7:blue", "x", None, {"lang": "en"}, "k1"),
    ]
    with pytest.raises(UsageError, match="takes id, team; given: none"):
        channel.publish_sync("x")


def test_handlers_get_the_parameters_of_the_name_and_stay_plain_functions(clock: Clock) -> None:
    async def scenario() -> None:
        channel, declaration, _ = declared()

        @channel.on_subscribe
        def may_subscribe(id: int, channel: str) -> tuple[int, str]:
            return id, channel

        @channel.on_publish
        def changed(team: str, message: dict[str, int]) -> tuple[str, dict[str, int]]:
            return team, message

        assert may_subscribe(1, "x") == (1, "x")
        assert changed("red", {"a": 1}) == ("red", {"a": 1})
        assert declaration.on_subscribe is not None
        assert declaration.on_publish is not None
        path, known = {"id": "7", "team": "red"}, {"channel": "game:7:red"}
        assert await declaration.on_subscribe(ANNA, path=path, known=known) == (7, "game:7:red")
        assert await declaration.on_publish(ANNA, path=path, known=known, payload='{"a":1}') == ("red", {"a": 1})

    clock.run(scenario())


def test_a_channel_has_one_function_of_each_kind() -> None:
    channel, declaration, _ = declared()
    first = channel.on_subscribe(lambda: None)
    before = declaration.on_subscribe
    with pytest.raises(UsageError, match=r"^channel 'game:\{id\}:\{team\}' has such a function already$"):
        channel.on_subscribe(first)
    channel.on_publish(lambda: None)
    with pytest.raises(UsageError, match="has such a function already"):
        channel.on_publish(lambda: None)
    assert declaration.on_subscribe is before


def test_a_function_with_parameters_that_nothing_gives_is_refused_at_once() -> None:
    channel, declaration, _ = declared()
    with pytest.raises(UsageError, match="only one of 'room' and 'other' can be the message"):
        channel.on_publish(lambda room, other: None)
    assert declaration.on_publish is None
