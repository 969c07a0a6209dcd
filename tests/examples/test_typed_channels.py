from tests.examples.conftest import Serve, load
from tests.examples.session import Session


def test_members_enter_and_others_do_not(serve: Serve) -> None:
    port = serve(load("typed_channels"))
    with Session(port, token="token-of-ben") as ben:
        assert "error" not in ben.ask("subscribe", channel="chat:lobby")
        assert ben.ask("subscribe", channel="chat:staff")["error"] == {"code": 103, "message": "permission denied"}
        assert ben.ask("publish", channel="chat:staff", data={"text": "hi"})["error"]["code"] == 103


def test_what_is_published_is_what_the_function_returns(serve: Serve) -> None:
    with Session(serve(load("typed_channels")), token="token-of-anna") as anna:
        anna.ask("subscribe", channel="chat:lobby")
        assert anna.ask("publish", channel="chat:lobby", data={"text": "darn it", "sender": "ben"}) == {}
        assert anna.push()["pub"]["data"] == {"text": "**** it", "sender": "anna"}


def test_the_wrong_field_is_named_and_the_connection_stays(serve: Serve) -> None:
    with Session(serve(load("typed_channels")), token="token-of-anna") as anna:
        error = anna.ask("publish", channel="chat:lobby", data={"text": ""})["error"]
        assert error["code"] == 107
        assert error["message"].startswith("text: ")
        assert anna.ask("publish", channel="chat:lobby", data={"text": "better"}) == {}
