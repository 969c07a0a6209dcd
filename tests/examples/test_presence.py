import urllib.request

from tests.examples.conftest import Serve, load
from tests.examples.session import Session


def test_everyone_sees_who_is_there_and_who_comes_and_leaves(serve: Serve) -> None:
    port = serve(load("presence"))
    with Session(port, data={"name": "anna"}) as anna:
        assert "error" not in anna.ask("subscribe", channel="room:lobby")
        assert anna.push()["join"]["info"]["user"] == "anna"
        with Session(port, data={"name": "ben"}) as ben:
            ben.ask("subscribe", channel="room:lobby")
            assert anna.push()["join"]["info"]["conn_info"] == {"name": "ben"}
            present = anna.ask("presence", channel="room:lobby")["presence"]
            assert sorted(member["user"] for member in present.values()) == ["anna", "ben"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/rooms/lobby", timeout=5) as answer:
                assert answer.read() == b'["anna","ben"]'
        assert anna.push()["leave"]["info"]["user"] == "ben"


def test_who_is_not_in_the_room_does_not_see_who_is(serve: Serve) -> None:
    with Session(serve(load("presence")), data={"name": "anna"}) as anna:
        assert anna.ask("presence", channel="room:lobby")["error"]["code"] == 103


def test_a_visitor_without_a_name_is_told_so(serve: Serve) -> None:
    with Session(serve(load("presence")), data={"name": ""}) as nobody:
        assert nobody.welcome["error"]["code"] == 107
        assert "name" in nobody.welcome["error"]["message"]
