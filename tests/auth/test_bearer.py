"""The token of a route: what lets a request in, and what the others are told."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.auth.issuer import NOW, SECRET, Issuer, Time, forged, jwk, private_key, signed, token_of
from tests.clock import Clock
from tests.hub.connections import ANNA, connected

from hubbub.auth import JWT, TokenUser
from hubbub.auth.refusals import ONCE
from hubbub.errors import Forbidden, Unauthorized
from hubbub.hub.handlers import Handler


def app_of(jwt: JWT) -> TestClient:
    app = FastAPI()
    User = Annotated[TokenUser, Depends(jwt.user)]

    @app.get("/me")
    async def me(user: User) -> dict[str, Any]:
        return {**user._asdict(), "scopes": sorted(user.scopes)}

    @app.get("/admin")
    async def admin(user: Annotated[TokenUser, Security(jwt.user, scopes=["admin", "rooms"])]) -> str:
        return user.user

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user: User) -> None:
        await websocket.accept()
        await websocket.send_text(user.user)

    return TestClient(app)


def bearer(token: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {token}"}


def jwt(**given: Any) -> JWT:
    return JWT(**{"secret": SECRET, "clock": Time(), **given})


def test_a_route_and_a_websocket_know_the_user_of_a_token() -> None:
    client = app_of(jwt())
    token = jwt().token("anna", info={"name": "Anna"}, email="a@b.example", scope="rooms read")
    for scheme in ("Bearer", "bearer", "BEARER "):
        assert client.get("/me", headers=bearer(token, scheme)).json() == {
            "user": "anna",
            "info": {"name": "Anna"},
            "claims": {
                "sub": "anna",
                "info": {"name": "Anna"},
                "email": "a@b.example",
                "scope": "rooms read",
                "exp": int(NOW) + 3600,
            },
            "expire_at": NOW + 3600,
            "scopes": ["read", "rooms"],
        }
    with client.websocket_connect("/ws", headers=bearer(token)) as websocket:
        assert websocket.receive_text() == "anna"
    bare = client.get("/me", headers=bearer(jwt().token("anna", expire_in=None))).json()
    assert (bare["info"], bare["expire_at"], bare["scopes"]) == (None, 0.0, [])


REFUSED = [
    ({}, 401, "Bearer", "not authenticated"),
    ({"Authorization": "Basic YW5uYTo="}, 401, "Bearer", "not authenticated"),
    ({"Authorization": "Bearer"}, 401, "Bearer", "not authenticated"),
    ({"Authorization": "Bearer  "}, 401, "Bearer", "not authenticated"),
    *(
        (
            bearer(token),
            401,
            f'Bearer error="invalid_token", error_description="{reason}"',
            reason,
        )
        for token, reason in (
            ("no.good.token", "the token is not valid"),
            (signed({"sub": "anna"})[:-2], "the token is not valid"),
            (signed({"sub": "anna", "channel": "news"}), "the token is not valid"),
            (signed({"sub": "anna", "exp": NOW - 1}), "the token has expired or is not valid yet"),
            (signed({"sub": "anna", "nbf": NOW + 1}), "the token has expired or is not valid yet"),
            (signed({"sub": "anna", "expire_at": NOW - 1}), "the token has expired or is not valid yet"),
            (signed({}), "the token is for no user"),
            (signed({"sub": ""}), "the token is for no user"),
        )
    ),
]


@pytest.mark.parametrize(("headers", "status", "challenge", "reason"), REFUSED)
def test_without_a_good_token_nobody_gets_in(headers: dict[str, str], status: int, challenge: str, reason: str) -> None:
    client = app_of(jwt())
    answer = client.get("/me", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)
    assert answer.json() == {"detail": reason}
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws", headers=headers):
        pass
    assert (refused.value.code, refused.value.reason) == (3000, reason)


def test_an_anonymous_token_that_may_not_connect_opens_no_route_either() -> None:
    answer = app_of(jwt(allow_anonymous=False)).get("/me", headers=bearer(signed({})))
    assert (answer.status_code, answer.json()) == (401, {"detail": "the token is not valid"})


@pytest.mark.parametrize("claim", ["info", "name"])
def test_half_an_emoji_in_a_token_is_read_and_a_number_beyond_floats_refused(claim: str) -> None:
    client = app_of(jwt())
    values = (b'"\\ud83d"', b"1e999")
    half, beyond = (forged(b'{"alg":"HS256"}', b'{"sub":"anna","%s":%s}' % (claim.encode(), value)) for value in values)
    answer = client.get("/me", headers=bearer(half))
    assert answer.status_code == 200
    assert answer.json()["claims"][claim] == "\ufffd"
    assert answer.json()["info"] == ("\ufffd" if claim == "info" else None)
    answer = client.get("/me", headers=bearer(beyond))
    assert (answer.status_code, answer.json()) == (401, {"detail": "the token is not valid"})


def test_a_token_without_the_scopes_is_forbidden() -> None:
    client = app_of(jwt())
    assert client.get("/admin", headers=bearer(jwt().token("anna", scope="rooms admin"))).json() == "anna"
    for scope in ("rooms", "", ["rooms", "admin"], None):
        answer = client.get("/admin", headers=bearer(jwt().token("anna", scope=scope)))
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="admin rooms"'


def test_while_the_keys_are_not_known_a_request_may_come_back() -> None:
    with Issuer(jwk(private_key("ES256"), "a")) as issuer:
        issuer.status = 500
        client = app_of(JWT(jwks_url=issuer.url, clock=Time()))
        headers = bearer(token_of("ES256", {"sub": "anna"}, kid="a"))
        answer = client.get("/me", headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws", headers=headers):
            pass
        assert refused.value.code == 1013


def test_openapi_shows_the_scheme() -> None:
    document = app_of(jwt()).get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert document["paths"]["/me"]["get"]["security"] == [{"JWT": []}]
    assert document["paths"]["/admin"]["get"]["security"] == [{"JWT": ["admin", "rooms"]}]


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_a_handler_may_ask_for_the_token_of_the_handshake(clock: Clock, kind: str) -> None:
    scheme = jwt()

    async def rooms(user: Annotated[TokenUser, Depends(scheme.user)]) -> str:
        return user.user

    async def admin(user: Annotated[TokenUser, Security(scheme.user, scopes=["admin"])]) -> str:
        return user.user

    def call(function: Callable[..., Any], headers: dict[str, str]) -> Any:
        return clock.run(Handler(function)(ANNA, connected(kind=kind, headers=headers)))

    token = bearer(scheme.token("anna"))
    assert call(rooms, {"authorization": token["Authorization"]}) == "anna"
    with pytest.raises(Unauthorized, match="not authenticated"):
        call(rooms, {})
    with pytest.raises(Forbidden, match="not enough permissions"):
        call(admin, {"authorization": token["Authorization"]})


def test_the_log_says_once_for_each_reason_why_a_websocket_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hubbub")
    client = app_of(jwt())
    wrong = f"{jwt().token('anna').rpartition('.')[0]}.{'A' * 43}"
    shown = [{}, bearer(wrong), bearer(signed({"sub": "anna", "exp": NOW - 1})), bearer(signed({}))]
    for headers in shown * 2:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=headers):
            pass
    said = [(record.levelname, record.getMessage().removesuffix(ONCE)) for record in caplog.records]
    websocket = "a WebSocket with Depends(jwt.user) is refused: "
    assert [text for _, text in said] == [
        f"{websocket}there is no token in the header 'Authorization: Bearer …', which web pages cannot set on a "
        "WebSocket",
        "a connection token is refused: Signature verification failed",
        f"{websocket}the token is not valid",
        "a connection token is refused: it has expired or is not valid yet",
        f"{websocket}the token has expired or is not valid yet",
        f"{websocket}the token is for no user",
    ]
    assert [level for level, text in said if "token is refused: it has expired" in text] == ["INFO"]
    assert {level for level, text in said if "token is refused: it has expired" not in text} == {"WARNING"}
