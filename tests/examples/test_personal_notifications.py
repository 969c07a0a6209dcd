import json

import pytest
from tests.examples.conftest import Serve, load
from tests.examples.peer import post
from tests.examples.session import Session
from websockets.exceptions import ConnectionClosed


def login(port: int, user: str) -> str:
    return str(json.loads(post(port, f"/login/{user}", None, {})[1]))


def test_a_notification_reaches_every_device_of_its_user_and_nobody_else(serve: Serve) -> None:
    port = serve(load("personal_notifications"))
    token = login(port, "anna")
    with (
        Session(port, token=token) as phone,
        Session(port, token=token) as laptop,
        Session(port, token=login(port, "ben")) as ben,
    ):
        assert list(phone.welcome["subs"]) == ["#anna"]
        assert post(port, "/notify/anna", {"text": "for anna"}, {})[0] == 202
        assert post(port, "/notify/ben", {"text": "for ben"}, {})[0] == 202
        for device in (phone, laptop):
            assert device.push()["pub"]["data"] == {"text": "for anna"}
        assert ben.push()["pub"]["data"] == {"text": "for ben"}
        assert ben.ask("subscribe", channel="#anna")["error"]["code"] == 103


def test_who_was_away_gets_it_when_it_comes_back(serve: Serve) -> None:
    port = serve(load("personal_notifications"))
    token = login(port, "anna")
    with Session(port, token=token) as phone:
        stood = phone.welcome["subs"]["#anna"]
    post(port, "/notify/anna", {"text": "while you were away"}, {})
    with Session(port, token=token, subs={"#anna": {"recover": True, "epoch": stood["epoch"]}}) as phone:
        missed = phone.welcome["subs"]["#anna"]["publications"]
        assert [publication["data"]["text"] for publication in missed] == ["while you were away"]


def test_a_device_that_starts_anew_asks_for_what_is_kept(serve: Serve) -> None:
    port = serve(load("personal_notifications"))
    token = login(port, "anna")
    post(port, "/notify/anna", {"text": "before you came"}, {})
    with Session(port, token=token) as phone:
        assert "publications" not in phone.welcome["subs"]["#anna"]
        kept = phone.ask("history", channel="#anna", limit=10)["publications"]
        assert [publication["data"]["text"] for publication in kept] == ["before you came"]


def test_a_token_that_somebody_made_up_is_refused(serve: Serve) -> None:
    port = serve(load("personal_notifications"))
    header, _, signature = login(port, "anna").split(".")
    forged = Session(port, token=f"{header}.e30.{signature}")
    with pytest.raises(ConnectionClosed, match=r"3500.*invalid token"), forged:
        pass
