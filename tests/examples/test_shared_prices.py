import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tests.examples.conftest import Serve, load
from tests.examples.peer import post
from tests.examples.session import Session

POLLED, TRACK = 4, 1


def counted(module: ModuleType) -> list[float]:
    """One for each price that the example is asked for from now on."""
    asked: list[float] = []

    def drift() -> Iterator[float]:
        while True:
            asked.append(1.0)
            yield 1.0

    module.drift = drift()  # type: ignore[attr-defined]
    return asked


def track(session: Session, port: int, *keys: str, signed: Any = None) -> dict[str, Any]:
    signature = json.loads(post(port, "/prices/city/signature", {"keys": signed or keys}, {})[1])
    batch = {"signature": signature, "items": [{"key": key} for key in keys]}
    return session.ask("sub_refresh", channel="prices:city", type=TRACK, track=[batch])


def test_who_looks_at_a_key_gets_its_price_and_the_source_is_asked_once_for_all(serve: Serve) -> None:
    module = load("shared_prices")
    asked = counted(module)
    port = serve(module)
    with Session(port) as anna, Session(port) as ben:
        for session in (anna, ben):
            assert "epoch" in session.ask("subscribe", channel="prices:city", type=POLLED)
            assert 3500 < track(session, port, "ink")["ttl"] <= 3601
        for session in (anna, ben):
            publication = session.push()["pub"]
            assert publication["key"] == "ink"
            assert publication["data"] == {"price": 40.0}
        assert len(asked) <= 3, "two who look are not two questions in each second"


def test_a_signature_is_for_the_keys_that_it_was_made_for(serve: Serve) -> None:
    port = serve(load("shared_prices"))
    with Session(port) as anna:
        anna.ask("subscribe", channel="prices:city", type=POLLED)
        assert track(anna, port, "ink", signed=["glue"])["error"]["code"] == 103
