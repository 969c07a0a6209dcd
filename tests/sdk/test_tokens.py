"""Tokens that expire are renewed by the SDK, and its connection stays as it is."""

from collections.abc import Callable, Iterator

import pytest
from tests.e2e.servers import Server, faults_in

from .background import Background
from .clients import KINDS, WEBSOCKET_KINDS, Client, Host, Kind
from .conftest import APP, Enter, Site

LIFE = 2
"""Seconds that a token is good for, and up to one more: a JWT expires at a whole second."""
GRACE = 2.5
"""Seconds after an expiry in which a new token is still taken: time enough on a busy machine."""
TOKENS = 4
"""When as many have been asked for, the first ones are past their grace."""


@pytest.fixture(scope="module")
def short_lived(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that is strict about expiry."""
    settings = {"HUBBUB_EXPIRED_GRACE": str(GRACE), "HUBBUB_EXPIRED_SUBSCRIPTION_GRACE": str(GRACE)}
    server = Server("wire", APP, tmp_path_factory.mktemp("tokens") / "log", settings=settings)
    site = Site(server, background)
    yield site
    site.close()
    assert faults_in(server.log()) == []


@pytest.fixture(scope="module")
def renewing(short_lived: Site, host_of: Callable[[str], Host]) -> Iterator[Callable[[Kind], Client]]:
    """Clients of all kinds, whose tokens run out at the same time, so that one wait is enough for all."""
    clients: dict[Kind, Client] = {}
    for kind in KINDS:
        try:
            host = host_of(kind.host)
        except pytest.skip.Exception:
            continue
        clients[kind] = short_lived.open_client(host, kind, str(kind), f"/token?user={{user}}&expire_in={LIFE}")
    for kind, client in clients.items():
        client.expect_welcome()
        query = f"user={client.user}&channel=paid:{client.user}&expire_in={LIFE}"
        token_url = f"http://{short_lived.address_for(kind)}/subscription-token?{query}"
        client.enter(f"paid:{client.user}", token_url=token_url)

    def client_of(kind: Kind) -> Client:
        host_of(kind.host)  # skips where it must
        return clients[kind]

    yield client_of
    for client in clients.values():
        client.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tokens_are_renewed_in_the_open_connection(
    renewing: Callable[[Kind], Client], short_lived: Site, kind: Kind
) -> None:
    ada = renewing(kind)
    channel = f"paid:{ada.user}"
    for channel_asked in (None, channel):
        for _ in range(TOKENS):
            ada.expect("asked for a token", 3 * LIFE, channel=channel_asked)
    assert ada.call("rpc", name="bill", data={"soup": 7}) == {"total": 7}
    short_lived.publish(channel, "still here")
    ada.expect("publication", channel=channel, data="still here")
    for event in ("connecting", "connected", "subscribing"):
        assert len(ada.heard(event)) == 1, ada.heard(event)
    for event in ("unsubscribed", "disconnected"):
        assert ada.heard(event) == []


@pytest.mark.parametrize("kind", WEBSOCKET_KINDS, ids=str)
def test_a_client_that_comes_with_an_expired_token_gets_another_and_is_let_in(enter: Enter) -> None:
    ada = enter("ada", token="/stale-token?user={user}")
    assert len(ada.heard("asked for a token")) == 2
