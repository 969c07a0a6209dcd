import json
import urllib.request

from tests.examples.conftest import Serve, load
from tests.examples.session import Session

STATE = 2  # the phase in which a map's entries are asked for


def test_a_newcomer_sees_where_the_others_point_and_then_each_move(serve: Serve) -> None:
    port = serve(load("live_cursors"))
    with Session(port) as anna:
        anna.ask("subscribe", channel="cursors:home", type=1, phase=STATE)
        assert anna.ask("publish", channel="cursors:home", type=1, key="any", data={"x": 0.5, "y": 0.5}) == {}
        with Session(port) as ben:
            there = ben.ask("subscribe", channel="cursors:home", type=1, phase=STATE)["state"]
            assert {entry["key"]: entry["data"] for entry in there} == {anna.welcome["client"]: {"x": 0.5, "y": 0.5}}
            anna.ask("publish", channel="cursors:home", type=1, key="any", data={"x": 0.6, "y": 0.5})
            assert ben.push()["pub"]["data"] == {"x": 0.6, "y": 0.5}
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/cursors/home", timeout=5) as answer:
                assert json.loads(json.load(answer)[anna.welcome["client"]]) == {"x": 0.6, "y": 0.5}
            anna.ask("unsubscribe", channel="cursors:home")
            assert ben.push()["pub"]["removed"] is True


def test_a_cursor_outside_the_page_is_refused(serve: Serve) -> None:
    with Session(serve(load("live_cursors"))) as anna:
        anna.ask("subscribe", channel="cursors:home", type=1, phase=STATE)
        error = anna.ask("publish", channel="cursors:home", type=1, key="any", data={"x": 2, "y": 0})["error"]
        assert error["code"] == 107
        assert error["message"].startswith("x: ")
