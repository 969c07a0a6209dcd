import json

from tests.examples.conftest import Serve, load
from tests.examples.peer import post
from tests.examples.session import Session


def tick(port: int, price: float) -> dict[str, object]:
    status, body = post(port, "/prices/ACME", {"price": price}, {})
    assert status == 200
    return dict(json.loads(body))


def test_who_was_away_gets_exactly_what_it_missed(serve: Serve) -> None:
    port = serve(load("recovery"))
    with Session(port) as session:
        stood = session.ask("subscribe", channel="ticker:ACME")
        tick(port, 1)
        assert session.push()["pub"]["data"] == {"price": 1.0}
    for price in (2, 3):
        tick(port, price)
    with Session(port) as session:
        back = session.ask("subscribe", channel="ticker:ACME", recover=True, epoch=stood["epoch"], offset=1)
        assert back["recovered"] is True
        assert [publication["data"]["price"] for publication in back["publications"]] == [2.0, 3.0]
        tick(port, 4)
        assert session.push()["pub"]["offset"] == 4


def test_who_stood_in_another_history_is_told_that_it_cannot_have_it_all(serve: Serve) -> None:
    port = serve(load("recovery"))
    offset = tick(port, 1)["offset"]
    with Session(port) as session:
        back = session.ask("subscribe", channel="ticker:ACME", recover=True, epoch="another", offset=offset)
        assert "recovered" not in back
        assert "publications" not in back
