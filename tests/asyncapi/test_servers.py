"""The ways to an app, as servers."""

import pytest

from hubbub import JWT, Auth
from hubbub.asyncapi.servers import security_scheme, servers
from hubbub.auth import Grant, Identity
from hubbub.transports.router import sessions_router


class Known(Auth):
    async def authenticate(self, token: str) -> Identity:
        return Identity(token)

    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        return Grant()


@pytest.mark.parametrize(
    ("secure", "protocols"), [(False, ["ws", "ws", "http", "http"]), (True, ["wss", "wss", "https", "https"])]
)
def test_protocols_are_those_of_the_request(secure: bool, protocols: list[str]) -> None:
    found = servers("hub.example:8443", "/rt", secure=secure, token=False)
    assert [server["protocol"] for server in found.values()] == protocols
    assert {server["host"] for server in found.values()} == {"hub.example:8443"}
    assert not any("security" in server for server in found.values())


def test_all_paths_are_those_of_endpoints() -> None:
    paths = {route.path for route in sessions_router(lambda: None).routes}  # type: ignore[arg-type, return-value, attr-defined]
    found = servers("hub.example", "/rt", secure=False, token=False).values()
    assert {server["pathname"].removeprefix("/rt") for server in found} <= paths
    told = " ".join([server["pathname"] + " " + server["description"] for server in found])
    assert {path for path in paths if f"/rt{path}" in told} == paths


def test_a_token_is_asked_for_where_one_is_needed() -> None:
    found = servers("hub.example", "", secure=False, token=True)
    assert [server["security"] for server in found.values()] == [[{"$ref": "#/components/securitySchemes/token"}]] * 4


def test_a_scheme_says_what_kind_of_token() -> None:
    assert security_scheme(JWT(secret="x" * 32))["bearerFormat"] == "JWT"
    assert "bearerFormat" not in security_scheme(Known())
