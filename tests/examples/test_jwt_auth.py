import base64
import json

from tests.examples.conftest import Serve, load
from tests.examples.peer import post
from tests.examples.session import Session


def login(port: int, target: str, password: str = "correct horse") -> tuple[int, str]:
    basic = base64.b64encode(f"anna:{password}".encode()).decode()
    status, body = post(port, target, None, {"Authorization": f"Basic {basic}"})
    return status, str(json.loads(body)) if status == 200 else ""


def test_a_token_opens_the_connection_and_another_the_channel(serve: Serve) -> None:
    port = serve(load("jwt_auth"))
    _, token = login(port, "/token")
    with Session(port, token=token) as anna:
        assert 500 < anna.welcome["ttl"] <= 601
        assert anna.ask("subscribe", channel="team:blue")["error"]["code"] == 103, "without a token"
        assert "error" not in anna.ask("subscribe", channel="team:blue", token=login(port, "/token/team/blue")[1])
        anna.ask("publish", channel="team:blue", data="hi")
        assert anna.push()["pub"]["info"]["conn_info"] == {"name": "Anna"}
        assert anna.ask("refresh", token=login(port, "/token")[1])["expires"] is True


def test_nobody_gets_a_token_for_nothing(serve: Serve) -> None:
    port = serve(load("jwt_auth"))
    assert login(port, "/token", "wrong")[0] == 401
    assert login(port, "/token/team/red")[0] == 403
