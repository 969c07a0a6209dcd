import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer, refused
from tests.examples.session import DEADLINE, Session


@contextmanager
def listening(port: int, name: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a listener by Server-Sent Events in room:lobby."""
    query = urlencode({"cf_connect": json.dumps({"data": {"name": name}, "subs": {"room:lobby": {}}})})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        connection.request("GET", f"/connection/uni_sse?{query}")
        response = connection.getresponse()
        assert response.status == 200
        lines = (line.removeprefix(b"data: ") for line in response if line.startswith(b"data: "))
        yield (event for event in map(json.loads, lines) if event)


def test_what_one_says_all_hear_each_in_its_own_way(serve: Serve) -> None:
    port = serve(load("channel_room"))
    with Session(port, data={"name": "anna"}) as anna, Peer(port, "/ws/room/lobby") as plain:
        anna.ask("subscribe", channel="room:lobby")
        assert anna.push()["join"]["info"]["user"] == "anna"
        with listening(port, "ben") as events:
            assert "room:lobby" in next(events)["connect"]["subs"]
            assert next(events)["join"]["info"]["user"] == "ben"
            assert anna.push()["join"]["info"]["conn_info"] == {"transport": "uni_sse"}
            plain.says("hi")
            plain.hears('{"text":"hi"}')
            for event in (anna.push(), next(events)):
                assert event["pub"]["data"] == {"text": "hi"}
                assert "info" not in event["pub"]
            anna.ask("publish", channel="room:lobby", data={"text": "hello"})
            plain.hears('{"text":"hello"}')
            for event in (anna.push(), next(events)):
                assert event["pub"]["data"] == {"text": "hello"}
                assert event["pub"]["info"]["user"] == "anna"
        plain.leaves()


def test_who_comes_back_gets_what_it_missed(serve: Serve) -> None:
    port = serve(load("channel_room"))
    with Session(port, data={"name": "anna"}) as anna, Session(port, data={"name": "ben"}) as ben:
        left = anna.ask("subscribe", channel="room:lobby")
        for text in ("one", "two"):
            assert ben.ask("publish", channel="room:lobby", data={"text": text}) == {}
    with Session(port, data={"name": "anna"}) as anna:
        since = {"offset": left.get("offset", 0), "epoch": left["epoch"]}
        back = anna.ask("subscribe", channel="room:lobby", recover=True, **since)
        assert back["recovered"]
        assert [one["data"]["text"] for one in back["publications"]] == ["one", "two"]
        page = anna.ask("history", channel="room:lobby", limit=1, reverse=True)
        assert [one["data"]["text"] for one in page["publications"]] == ["two"]


@pytest.mark.parametrize("text", ["", "x" * 501])
def test_what_is_no_message_is_answered_and_reaches_nobody(serve: Serve, text: str) -> None:
    port = serve(load("channel_room"))
    with Session(port, data={"name": "anna"}) as anna:
        error = anna.ask("publish", channel="room:lobby", data={"text": text})["error"]
        assert error["code"] == 107
        assert error["message"].startswith("text: String should have at ")
        assert anna.ask("history", channel="room:lobby")["error"]["code"] == 103, "not in the room, not told"
    with Peer(port, "/ws/room/lobby") as plain:
        plain.says("")
        plain.hears('{"error":"String should have at least 1 character"}')
        plain.says("better")
        plain.hears('{"text":"better"}')
        plain.leaves()


@pytest.mark.parametrize("data", [{"name": ""}, {"name": "x" * 33}, {}])
def test_a_visitor_needs_a_name(serve: Serve, data: dict[str, str]) -> None:
    with Session(serve(load("channel_room")), data=data) as nobody:
        assert nobody.welcome["error"]["code"] == 107
        assert "name" in nobody.welcome["error"]["message"]


def test_what_is_no_name_of_a_room_is_refused_before_the_accept(serve: Serve) -> None:
    assert refused(serve(load("channel_room")), "/ws/room/a:b") == 403
