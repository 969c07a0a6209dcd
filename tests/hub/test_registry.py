"""What an app has declared: found by name, and each once."""

from typing import Annotated

import pytest
from fastapi import Depends

from hubbub import UsageError
from hubbub.channels import Pattern, Rules
from hubbub.errors import InvalidRequest, MethodNotFound, NotAvailable, UnknownChannel
from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.stream import STREAM, Stream
from hubbub.hub.registry import Registry


def declare(registry: Registry, pattern: str, *, kind: Stream = STREAM, personal: bool = False) -> Declaration:
    declaration = Declaration(Pattern(pattern), Rules(personal=personal), kind)
    registry.catalogue.add(declaration)
    return declaration


def answer() -> int:
    return 42


def of_the_connection(value: Annotated[int, Depends(answer)]) -> int:
    return value


def test_methods_are_found_by_name_and_each_is_declared_once() -> None:
    registry = Registry()
    with pytest.raises(NotAvailable):
        registry.method("rooms.list")
    handler = Handler(answer)
    registry.add_method("rooms.list", handler)
    assert registry.method("rooms.list") is handler
    with pytest.raises(MethodNotFound):
        registry.method("rooms")
    with pytest.raises(UsageError, match=r"^the RPC method 'rooms.list' is declared already$"):
        registry.add_method("rooms.list", Handler(answer))
    assert registry.method("rooms.list") is handler


def test_channels_of_clients_are_ascii() -> None:
    registry = Registry()
    room = declare(registry, "chat:{room}")
    assert registry.find("chat:lobby") == (room, {"room": "lobby"})
    with pytest.raises(InvalidRequest):
        registry.find("chat:ünï")
    for name in ("news", "ünï", ""):
        with pytest.raises(UnknownChannel):
            registry.find(name)


def test_each_type_of_channel_is_listed_once() -> None:
    registry, other = Registry(), Stream()
    assert registry.kinds == []
    for pattern, kind in (("a", STREAM), ("b", other), ("c", STREAM)):
        declare(registry, pattern, kind=kind)
    assert registry.kinds == [STREAM, other]


def test_a_connection_is_kept_only_where_a_function_looks_at_it() -> None:
    registry = Registry()
    room = declare(registry, "chat:{room}")
    plain, looking = Handler(answer), Handler(of_the_connection)
    assert not registry.needs_connection
    registry.on_connect = room.on_subscribe = plain
    registry.add_method("plain", plain)
    assert list(registry.handlers) == [plain] * 3
    assert not registry.needs_connection
    room.on_publish = looking
    assert list(registry.handlers) == [plain] * 3 + [looking]
    assert registry.needs_connection
    for place in ("on_connect", "methods", "on_subscribe"):
        registry = Registry()
        if place == "on_connect":
            registry.on_connect = looking
        elif place == "methods":
            registry.add_method("m", looking)
        else:
            declare(registry, "a").on_subscribe = looking
        assert registry.needs_connection, place


def test_users_have_the_channels_that_are_personal() -> None:
    registry = Registry()
    assert registry.personal_channels("42", 255) == []
    declare(registry, "#{user}", personal=True)
    declare(registry, "chat:{room}")
    declare(registry, "inbox:{who:path}", personal=True)
    assert registry.personal_channels("42", 255) == ["#42", "inbox:42"]


@pytest.mark.parametrize("pattern", ["news", "{user}:{device}"])
def test_a_personal_channel_has_a_place_for_its_user(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"is personal: give it one parameter, the user, as in '#\{user\}'"):
        declare(Registry(), pattern, personal=True)


@pytest.mark.parametrize("user", ["a:b", "Zoë", "x" * 300])
def test_a_user_whose_name_fits_into_no_channel_has_none_and_the_log_says_so(
    user: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.catalogue.add(Declaration(Pattern("#{user}"), Rules(personal=True), STREAM))
    assert registry.personal_channels(user, 255) == []
    assert "does not fit" in caplog.text
    assert registry.personal_channels("anna", 4) == []
    assert registry.personal_channels("anna", 5) == ["#anna"]
