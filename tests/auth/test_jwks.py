"""Published keys: fetched when needed, not more often, and kept while their issuer is away."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator

import pytest
from tests.auth.issuer import Issuer, Time, jwk, private_key

from hubbub.auth import jwks
from hubbub.auth.jwks import LIFETIME, PAUSE, KeySet
from hubbub.errors import InternalError, UsageError

OLD = jwk(private_key("ES256"), "old")
NEW = jwk(private_key("ES256", 1), "new")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD) as issuer:
        yield issuer


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def keys(issuer: Issuer, time: Time) -> KeySet:
    return KeySet(issuer.url, clock=time)


def test_a_key_is_found_by_its_id_and_the_issuer_asked_once(issuer: Issuer, keys: KeySet) -> None:
    async def main() -> None:
        for _ in range(3):
            key = await keys.find("old")
            assert key is not None
            assert key.algorithms == ("ES256",)

    asyncio.run(main())
    assert issuer.asked == 1


def test_who_comes_during_a_fetch_waits_for_it(issuer: Issuer, keys: KeySet) -> None:
    async def main() -> None:
        issuer.gate.clear()
        asking = [asyncio.create_task(keys.find("old")) for _ in range(5)]
        while not issuer.asked:
            await asyncio.sleep(0.001)
        issuer.gate.set()
        assert None not in await asyncio.gather(*asking)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert issuer.asked == 1


def test_a_fetch_goes_on_when_the_one_who_began_it_leaves(issuer: Issuer, keys: KeySet) -> None:
    async def main() -> None:
        issuer.gate.clear()
        first = asyncio.create_task(keys.find("old"))
        while not issuer.asked:
            await asyncio.sleep(0.001)
        second = asyncio.create_task(keys.find("old"))
        first.cancel()
        issuer.gate.set()
        assert await second is not None

    asyncio.run(asyncio.wait_for(main(), 10))
    assert issuer.asked == 1


def test_an_unknown_id_is_asked_for_since_the_issuer_may_have_a_new_key(
    issuer: Issuer, keys: KeySet, time: Time
) -> None:
    async def main() -> None:
        assert await keys.find("old") is not None
        issuer.publish(OLD, NEW)
        time.now += PAUSE
        assert await keys.find("new") is not None

    asyncio.run(main())
    assert issuer.asked == 2


def test_within_a_pause_nobody_says_that_a_key_does_not_exist(issuer: Issuer, keys: KeySet, time: Time) -> None:
    async def main() -> None:
        assert await keys.find("invented") is None
        time.now += PAUSE / 2
        for kid in ("new", "invented", "invented too"):
            with pytest.raises(InternalError) as caught:
                await keys.find(kid)
            assert caught.value.temporary
        assert issuer.asked == 1, "made-up ids make no requests"
        time.now += PAUSE / 2
        assert await keys.find("invented") is None

    asyncio.run(main())
    assert issuer.asked == 2


def test_a_key_that_was_withdrawn_is_forgotten_when_the_set_is_old(issuer: Issuer, keys: KeySet, time: Time) -> None:
    async def main() -> None:
        assert await keys.find("old") is not None
        issuer.publish(NEW)
        time.now += LIFETIME - 1
        assert await keys.find("old") is not None
        time.now += 1
        assert await keys.find("old") is None

    asyncio.run(main())
    assert issuer.asked == 2


def test_an_outage_keeps_nobody_out_whose_key_is_known(
    issuer: Issuer, keys: KeySet, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        assert await keys.find("old") is not None
        issuer.status = 503
        time.now += LIFETIME
        assert await keys.find("old") is not None
        assert await keys.find("old") is not None
        with pytest.raises(InternalError):
            await keys.find("new")
        assert issuer.asked == 2
        issuer.status = 200
        issuer.publish(NEW)
        time.now += PAUSE
        assert await keys.find("new") is not None
        assert await keys.find("old") is None

    asyncio.run(main())
    assert caplog.record_tuples == [
        (
            "hubbub",
            logging.WARNING,
            "no keys for tokens from 127.0.0.1: HTTPError: HTTP Error 503: Service Unavailable",
        )
    ]


def test_an_issuer_that_is_not_there_is_a_temporary_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InternalError) as caught:
        asyncio.run(KeySet(f"http://127.0.0.1:{port}/").find("old"))
    assert caught.value.temporary


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"keys":7}', b'{"keys":[]}', b'{"keys":["old",7,null,{},{"kid":"old"}]}'],
)
def test_an_answer_without_a_usable_key_is_an_outage(issuer: Issuer, keys: KeySet, answer: bytes) -> None:
    issuer.answer = answer
    with pytest.raises(InternalError):
        asyncio.run(keys.find("old"))


def test_what_is_not_understood_is_passed_over(issuer: Issuer, keys: KeySet) -> None:
    issuer.answer = json.dumps(
        {"keys": ["", {"kid": "old", "kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC"}, {**NEW, "kid": ["new"]}, NEW]}
    ).encode()

    async def main() -> None:
        assert await keys.find("new") is not None
        assert await keys.find("old") is None

    asyncio.run(main())


def test_an_issuer_whose_answer_drips_keeps_nobody_out_whose_key_is_known(
    issuer: Issuer, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeySet(issuer.url, clock=time, timeout=0.2)

    async def main() -> None:
        assert await keys.find("old") is not None
        issuer.drips = True
        time.now += LIFETIME
        assert None not in await asyncio.gather(*(keys.find("old") for _ in range(5)))
        with pytest.raises(InternalError):
            await keys.find("new")
        assert issuer.asked == 2
        assert await asyncio.to_thread(issuer.cut.wait, 10), "the connection is cut, and its thread free"
        issuer.drips = False
        issuer.publish(NEW)
        time.now += PAUSE
        assert await keys.find("new") is not None
        assert await keys.find("old") is None

    asyncio.run(asyncio.wait_for(main(), 30))
    assert caplog.messages == ["no keys for tokens from 127.0.0.1: TimeoutError: no whole answer within 0.2 s"]


def test_the_token_of_a_known_key_waits_a_moment_for_an_issuer_that_hangs(
    issuer: Issuer, keys: KeySet, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "PATIENCE", 0.01)

    async def main() -> None:
        assert await keys.find("old") is not None
        issuer.gate.clear()
        issuer.publish(NEW)
        time.now += LIFETIME
        assert await keys.find("old") is not None
        issuer.gate.set()
        assert await keys.find("new") is not None, "the fetch went on"
        assert await keys.find("old") is None
        assert issuer.asked == 2

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_answer_without_end_is_not_read(issuer: Issuer, keys: KeySet, caplog: pytest.LogCaptureFixture) -> None:
    issuer.answer = json.dumps({"keys": [OLD], "more": "x" * jwks.LARGEST}).encode()
    with pytest.raises(InternalError):
        asyncio.run(keys.find("old"))
    assert caplog.messages == ["no keys for tokens from 127.0.0.1: ValueError: the answer has more than 524288 bytes"]


def test_an_issuer_that_sends_elsewhere_is_not_followed(
    issuer: Issuer, keys: KeySet, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.status, issuer.location = 302, issuer.url
    with pytest.raises(InternalError):
        asyncio.run(keys.find("old"))
    assert caplog.messages == ["no keys for tokens from 127.0.0.1: HTTPError: HTTP Error 302: Found"]


@pytest.mark.parametrize("url", ["", "https:///jwks.json", "file:///etc/passwd", "login.example/jwks.json"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="https"):
        KeySet(url)
