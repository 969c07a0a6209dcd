"""The document: what an app declares, and nothing else."""

from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from tests.asyncapi import shop

from hubbub import Data, Hub
from hubbub.auth import Grant, Identity


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return shop.hub.asyncapi(shop.app)


def described(hub: Hub) -> dict[str, Any]:
    return hub.asyncapi(FastAPI())


def look_up(document: Any, reference: dict[str, str]) -> Any:
    found = document
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def payloads(document: dict[str, Any], messages: list[Any]) -> list[Any]:
    return [look_up(document, message)["payload"] for message in messages]


def schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# The app


def test_the_app_says_what_it_is(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["title"] == "Corner shop"
    assert document["info"]["version"] == "2.1.0"
    assert document["info"]["description"].startswith("Everything that is said")


def test_an_empty_hub_has_an_empty_document() -> None:
    document = described(Hub())
    assert document["info"] == {"title": "FastAPI", "version": "0.1.0"}
    assert (document["channels"], document["operations"], document["components"]["schemas"]) == ({}, {}, {})
    assert "securitySchemes" not in document["components"]


def test_tokens_have_a_security_scheme(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["bearerFormat"] == "JWT"


def test_a_document_says_the_same_each_time(document: dict[str, Any]) -> None:
    assert repr(shop.hub.asyncapi(shop.app)) == repr(document)
    assert list(document["components"]["schemas"]) == sorted(document["components"]["schemas"])


# Channels


def test_a_channel_has_its_pattern_as_address(document: dict[str, Any]) -> None:
    addresses = [channel["address"] for channel in document["channels"].values() if channel["address"] is not None]
    assert addresses == ["chat:{floor}:{room}", "news", "files:{folder}", "#{user}", "game:{number}", "scratch"]


def test_every_parameter_of_an_address_is_described(document: dict[str, Any]) -> None:
    for channel in document["channels"].values():
        address, parameters = channel["address"] or "", channel.get("parameters", {})
        for name, parameter in parameters.items():
            assert parameter["description"]
            address = address.replace(f"{{{name}}}", "")
        assert "{" not in address


def test_a_parameter_is_described_by_its_annotation(document: dict[str, Any]) -> None:
    channels = document["channels"]
    floor, room = channels["chat_floor_room"]["parameters"].values()
    assert floor == {
        "description": "Where in the building.",
        "enum": ["ground", "roof"],
        "x-hubbub-schema": schema("Floor"),
    }
    assert (room["description"], room["examples"]) == ("Its short name.", ["lobby"])
    assert room["x-hubbub-schema"]["maxLength"] == 20
    assert channels["game_number"]["parameters"]["number"] == {
        "description": "Contains no colon.",
        "x-hubbub-schema": {"type": "integer"},
    }
    assert channels["files_folder_path"]["parameters"] == {
        "folder": {"description": "May contain colons, or be empty."}
    }


def test_the_values_of_a_parameter_are_text() -> None:
    hub = Hub()

    @hub.channel("{kind}:{number}").on_subscribe
    async def enter(kind: Literal["a"], number: Literal[1, 2]) -> None: ...

    kind, number = described(hub)["channels"]["kind_number"]["parameters"].values()
    assert (kind["enum"], number["enum"]) == (["a"], ["1", "2"])


def test_the_docstring_of_on_subscribe_describes_the_channel(document: dict[str, Any]) -> None:
    channels = document["channels"]
    assert channels["chat_floor_room"]["description"] == "A room of the shop, for everyone who may be on its floor."
    assert "description" not in channels["news"]


def test_rules_are_told_and_who_may_do_what(document: dict[str, Any]) -> None:
    rules = document["channels"]["chat_floor_room"]["x-hubbub-rules"]
    assert rules["type"] == "stream"
    assert (rules["history"], rules["ttl"], rules["presence"], rules["join_leave"]) == (100, 3600.0, True, "force")
    assert (rules["may_subscribe"], rules["may_publish"]) == ("handler", "handler")
    assert (rules["may_see_presence"], rules["may_read_history"]) == ("subscribers", "nobody")
    assert document["channels"]["news"]["x-hubbub-rules"]["may_subscribe"] == "everyone"


def test_maps_and_polled_channels_tell_the_rules_that_mean_something_for_them() -> None:
    hub = Hub()
    hub.map_channel("board", mode="persistent", may_remove="users").on_publish(lambda key: None)
    hub.poll_channel("prices", every="5s", secret="x" * 32, backend="http://prices.example", may_subscribe="users")
    board, prices = (channel["x-hubbub-rules"] for channel in described(hub)["channels"].values())
    assert (board["type"], board["mode"]) == ("map", "persistent")
    assert (board["may_remove"], board["may_publish"]) == ("users", "handler")
    assert (prices["type"], prices["every"], prices["may_subscribe"]) == ("shared_poll", 5.0, "users")
    assert "history" not in {**board, **prices}


def test_a_personal_channel_says_that_the_server_subscribes_its_user(document: dict[str, Any]) -> None:
    said = "The server subscribes each user to its own channel as it connects: `anna` to `#anna`."
    assert document["channels"]["user"]["description"] == said
    hub = Hub()

    @hub.channel("news#{user}", personal=True).on_subscribe
    async def enter(user: str) -> None:
        """What is new for you."""

    described_as = described(hub)["channels"]["news_user"]["description"]
    assert described_as == "What is new for you.\n\n" + said.replace("#anna", "news#anna")


def test_polled_values_are_of_the_type_that_the_function_returns() -> None:
    hub = Hub()
    prices = hub.poll_channel("prices", every="5s", secret="x" * 32)

    @prices.on_poll
    async def load(keys: list[str]) -> dict[str, shop.Author]: ...

    document = described(hub)
    assert payloads(document, document["operations"]["send_prices"]["messages"]) == [schema("Author")]
    assert "Author" in document["components"]["schemas"]


def test_names_that_become_the_same_key_are_told_apart() -> None:
    hub = Hub()
    for pattern in ("a:b", "a:{b}", "a-b", "#", "rpc_x"):
        hub.channel(pattern)
    hub.rpc("x")(lambda: None)
    document = described(hub)
    assert list(document["channels"]) == ["a_b", "a_b_2", "a_b_3", "unnamed", "rpc_x", "rpc_x_2"]
    assert len(document["operations"]) == 6


# What is published


def test_clients_publish_the_message_and_subscribers_receive_what_is_returned(document: dict[str, Any]) -> None:
    operations = document["operations"]
    publish, send = operations["publish_chat_floor_room"], operations["send_chat_floor_room"]
    assert (publish["action"], send["action"]) == ("receive", "send")
    assert publish["channel"] == send["channel"] == {"$ref": "#/channels/chat_floor_room"}
    assert payloads(document, publish["messages"]) == [schema("Line")]
    assert payloads(document, send["messages"]) == [schema("Spoken")]
    assert publish["description"].startswith("Says a line to all in the room.")


def test_subscribers_may_receive_what_came(document: dict[str, Any]) -> None:
    step = {"oneOf": [schema("Move"), schema("Leave")]}
    operations = document["operations"]
    assert payloads(document, operations["publish_game_number"]["messages"]) == [step]
    assert payloads(document, operations["send_game_number"]["messages"]) == [schema("Move"), step]


def test_what_may_be_returned_and_is_what_came_is_told_once() -> None:
    hub = Hub()

    @hub.channel("talk").on_publish
    async def say(line: shop.Line) -> shop.Line | None: ...

    document = described(hub)
    assert payloads(document, document["operations"]["send_talk"]["messages"]) == [schema("Line")]


def test_clients_publish_only_where_they_may(document: dict[str, Any]) -> None:
    operations = document["operations"]
    assert "send_news" in operations
    assert "publish_news" not in operations
    assert payloads(document, operations["publish_scratch"]["messages"]) == [{}]
    assert operations["publish_scratch"]["messages"] == operations["send_scratch"]["messages"]


def test_what_clients_subscribe_with_is_told(document: dict[str, Any]) -> None:
    operation = document["operations"]["subscribe_game_number"]
    assert operation["action"] == "receive"
    assert payloads(document, operation["messages"]) == [{"type": "integer", "enum": [1, 2]}]


def test_bytes_are_no_json() -> None:
    hub = Hub()

    @hub.channel("raw").on_publish
    async def take(data: Annotated[bytes, Data()]) -> None: ...

    document = described(hub)
    (message,) = document["operations"]["publish_raw"]["messages"]
    assert look_up(document, message) == {"contentType": "application/octet-stream"}
    assert document["operations"]["send_raw"]["messages"] == [message]


def test_examples_are_those_of_the_model(document: dict[str, Any]) -> None:
    messages = document["channels"]["chat_floor_room"]["messages"]
    assert messages["Line"]["examples"] == [{"payload": {"text": "Good morning", "mood": "happy"}}]
    assert "examples" not in messages["Spoken"]


def test_a_docstring_is_told_up_to_a_form_feed() -> None:
    hub = Hub()

    @hub.rpc("now")
    async def now() -> float:
        """The time.
        \f
        Not for clients.
        """
        return 0.0

    assert described(hub)["operations"]["call_rpc_now"]["description"] == "The time."


# Calls


def test_a_method_has_a_request_and_a_reply(document: dict[str, Any]) -> None:
    operation = document["operations"]["call_rpc_lines_find"]
    assert operation["x-hubbub-method"] == "lines.find"
    assert operation["description"] == "Finds lines by their words."
    assert payloads(document, operation["messages"]) == [schema("Query")]
    assert payloads(document, operation["reply"]["messages"]) == [schema("Page_Line_")]
    assert operation["reply"]["channel"] == operation["channel"] == {"$ref": "#/channels/rpc_lines_find"}
    channel = document["channels"]["rpc_lines_find"]
    assert (channel["address"], channel["title"]) == (None, "lines.find")


def test_a_method_may_take_nothing(document: dict[str, Any]) -> None:
    operation = document["operations"]["call_rpc_lines_count"]
    assert operation["messages"] == []
    assert payloads(document, operation["reply"]["messages"]) == [{"type": "integer"}]
    assert "description" not in operation


def test_a_method_without_annotations_takes_and_answers_anything(document: dict[str, Any]) -> None:
    operation = document["operations"]["call_rpc_echo"]
    assert payloads(document, operation["messages"]) == payloads(document, operation["reply"]["messages"]) == [{}]


def test_what_clients_connect_with_is_told(document: dict[str, Any]) -> None:
    (message,) = document["operations"]["connect_connect"]["messages"]
    assert look_up(document, message)["payload"] == {"anyOf": [schema("Author"), {"type": "null"}]}
    assert document["channels"]["connect"]["description"] == "Guests may look around."


def test_a_connection_without_data_is_not_told() -> None:
    hub = Hub()

    @hub.on_connect
    async def welcome(token: str) -> Identity: ...  # type: ignore[empty-body]

    assert described(hub)["channels"] == {}


# Components


def test_there_are_no_types_that_clients_do_not_see() -> None:
    class Secret(BaseModel):
        password: str

    hub = Hub()

    @hub.channel("a").on_subscribe
    async def enter() -> Grant: ...  # type: ignore[empty-body]

    @hub.on_connect
    async def welcome(secret: Secret | None = None) -> Identity: ...  # type: ignore[empty-body]

    assert list(described(hub)["components"]["schemas"]) == ["Secret"]


def test_all_types_are_components_once(document: dict[str, Any]) -> None:
    assert list(document["components"]["schemas"]) == [
        "Author", "Floor", "Leave", "Line", "Move", "Page_Line_", "Query", "Spoken",
    ]  # fmt: skip
