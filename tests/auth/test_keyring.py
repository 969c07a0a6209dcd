"""The choice between keys: by the token's algorithm, among the keys that are for it."""

import asyncio
import logging
from typing import Any

import pytest
from tests.auth.issuer import NOW, SECRET, Issuer, forged, jwk, private_key, public_pem, token_of

from hubbub.auth.keyring import Keyring
from hubbub.errors import InternalError, UsageError

RSA_PEM = public_pem(private_key("RS256"))
EC_PEM = public_pem(private_key("ES256"))
OTHER_SECRET = "another secret, which has also more than 32 bytes"


def verify(keyring: Keyring, token: str, now: float = NOW) -> bytes:
    return asyncio.run(keyring.verify(token, now))


def by(secret: str, algorithm: str = "HS256", digest: str = "sha256") -> str:
    return forged(f'{{"alg":"{algorithm}"}}'.encode(), b"{}", secret.encode(), digest)


def test_each_algorithm_has_its_key() -> None:
    keyring = Keyring(secret=SECRET, public_key=[RSA_PEM, EC_PEM])
    for token in (by(SECRET), by(SECRET, "HS512", "sha512"), token_of("RS384", {}), token_of("ES256", {})):
        assert verify(keyring, token) == b"{}"


def test_any_of_several_keys_of_a_kind_is_enough() -> None:
    keyring = Keyring(public_key=[public_pem(private_key("ES256", 1)), EC_PEM])
    assert verify(keyring, token_of("ES256", {})) == b"{}"
    assert verify(keyring, token_of("ES256", {}, number=1)) == b"{}"
    with pytest.raises(ValueError, match="Signature"):
        verify(keyring, token_of("ES256", {}, number=2))


def test_a_previous_secret_is_good_until_its_time() -> None:
    keyring = Keyring(secret=SECRET, previous_secret=OTHER_SECRET, previous_secret_until=NOW)
    assert verify(keyring, by(OTHER_SECRET), NOW) == b"{}"
    with pytest.raises(ValueError, match="Signature"):
        verify(keyring, by(OTHER_SECRET), NOW + 1)
    assert verify(keyring, by(SECRET), NOW + 1) == b"{}"


def test_a_previous_secret_without_a_time_is_good_for_ever_and_signs_nothing() -> None:
    keyring = Keyring(secret=SECRET, previous_secret=OTHER_SECRET)
    assert verify(keyring, by(OTHER_SECRET), NOW * 2) == b"{}"
    assert verify(Keyring(secret=SECRET), keyring.sign(b"{}")) == b"{}"


@pytest.mark.parametrize(
    "token",
    [
        forged(b'{"alg":"HS256"}', b'{"sub":"admin"}', RSA_PEM.encode()),
        forged(b'{"alg":"HS256"}', b'{"sub":"admin"}', b""),
        forged(b'{"alg":"none"}', b'{"sub":"admin"}', b""),
        forged(b'{"alg":"none"}', b'{"sub":"admin"}').rpartition(".")[0] + ".",
        forged(b'{"alg":"RS256"}', b'{"sub":"admin"}', RSA_PEM.encode()),
        token_of("ES256", {"sub": "admin"}),
    ],
    ids=["public key as secret", "empty secret", "none", "none, unsigned", "HMAC as RSA", "another kind"],
)
def test_algorithms_cannot_be_confused(token: str) -> None:
    for keyring in (Keyring(public_key=RSA_PEM), Keyring(secret=SECRET, public_key=RSA_PEM)):
        with pytest.raises(ValueError, match=r"another algorithm|Signature"):
            verify(keyring, token)


def test_only_the_chosen_algorithms_are_taken() -> None:
    keyring = Keyring(secret=SECRET, algorithms=["HS512"])
    assert verify(keyring, by(SECRET, "HS512", "sha512")) == b"{}"
    with pytest.raises(ValueError, match="another algorithm"):
        verify(keyring, by(SECRET))
    assert verify(keyring, keyring.sign(b"{}")) == b"{}"


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "..", "ä.ö.ü", "bnVsbA.e30.", forged(b"{}", b"{}"), forged(b'{"alg":7}', b"{}")]
)
def test_what_is_no_token_is_a_fault(token: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        verify(Keyring(secret=SECRET), token)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, "give secret, public_key or jwks_url"),
        ({"public_key": []}, "give secret, public_key or jwks_url"),
        ({"secret": ""}, "neither empty"),
        ({"secret": EC_PEM}, "as public_key"),
        ({"public_key": "secret"}, "BEGIN PUBLIC KEY"),
        ({"previous_secret": SECRET}, "the present secret"),
        ({"jwks_url": "ftp://login.example"}, "https"),
        ({"jwks_url": "https://login.example", "public_key": EC_PEM}, "not both"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "HS256, HS384, HS512"),
        ({"secret": SECRET, "algorithms": ["none"]}, "HS256, HS384, HS512"),
        ({"secret": SECRET, "algorithms": []}, "HS256, HS384, HS512"),
        ({"public_key": EC_PEM, "algorithms": ["ES256", "ES384"]}, ": ES256$"),
    ],
)
def test_keys_that_cannot_work_are_refused_with_a_remedy(given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        Keyring(**given)


def test_only_a_secret_signs() -> None:
    with pytest.raises(UsageError, match="signed with a secret"):
        Keyring(public_key=EC_PEM).sign(b"{}")
    with pytest.raises(UsageError, match="signed with a secret"):
        Keyring(secret=SECRET, public_key=EC_PEM, algorithms=["ES256"]).sign(b"{}")


def test_a_short_secret_is_warned_of_once_and_works(caplog: pytest.LogCaptureFixture) -> None:
    keyring = Keyring(secret="secret")
    for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512")):
        assert verify(keyring, by("secret", algorithm, digest)) == b"{}"
    assert verify(keyring, keyring.sign(b"{}")) == b"{}"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hubbub", logging.WARNING)
    assert record.getMessage().startswith("a secret of 6 bytes can be guessed from one token")


def test_a_long_secret_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Keyring(secret=b"x" * 32, previous_secret="short, but on its way out")
    assert caplog.records == []


def test_published_keys_are_found_by_the_id_in_the_token() -> None:
    with Issuer(jwk(private_key("ES256"), "a"), jwk(private_key("RS256"), "b", alg="RS256")) as issuer:
        keyring = Keyring(secret=SECRET, jwks_url=issuer.url)
        assert verify(keyring, token_of("ES256", {}, kid="a")) == b"{}"
        assert verify(keyring, token_of("RS256", {}, kid="b")) == b"{}"
        assert verify(keyring, by(SECRET)) == b"{}"
        for token in (token_of("ES256", {}), token_of("ES256", {}, kid="")):
            with pytest.raises(
                ValueError, match=r"^it has no key id \(kid\), by which the keys of jwks_url are found$"
            ):
                verify(keyring, token)
        for token in (token_of("RS256", {}, kid="a"), token_of("RS512", {}, kid="b")):
            with pytest.raises(ValueError, match=r"^there is no key of its id for its algorithm$"):
                verify(keyring, token)
        with pytest.raises(ValueError, match="Signature"):
            verify(keyring, token_of("ES256", {}, number=1, kid="a"))
        assert issuer.asked == 1


def test_an_issuer_that_cannot_be_asked_makes_no_token_wrong() -> None:
    with Issuer() as issuer, pytest.raises(InternalError):
        verify(Keyring(jwks_url=issuer.url), token_of("ES256", {}, kid="a"))
