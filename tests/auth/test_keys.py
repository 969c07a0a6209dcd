"""Keys: each for its own algorithms, whatever a token says."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.auth.issuer import SECRET, forged, jwk, private_key, private_pem, public_pem, token_of

from hubbub.auth.keys import HMAC, RSA, Key, from_jwk, from_pem, from_secret, signed, verified
from hubbub.errors import UsageError

# RFC 7515, appendix A.1
RFC_TOKEN = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
RFC_SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="


def test_the_example_of_the_standard_is_verified() -> None:
    key = from_secret(base64.urlsafe_b64decode(RFC_SECRET))
    assert verified(RFC_TOKEN, key, "HS256").startswith(b'{"iss":"joe",')


@pytest.mark.parametrize(("algorithm", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_a_secret_signs_and_verifies(algorithm: str, digest: str) -> None:
    key = from_secret(SECRET)
    assert key.algorithms == HMAC
    header = f'{{"alg":"{algorithm}","typ":"JWT"}}'.encode()
    assert signed(b'{"sub":"42"}', key, algorithm) == forged(header, b'{"sub":"42"}', digest=digest)
    assert verified(forged(header, b"any", digest=digest), key, algorithm) == b"any"
    with pytest.raises(ValueError, match="Signature"):
        verified(forged(header, b"any", b"another secret", digest), key, algorithm)


@pytest.mark.parametrize("algorithm", [*RSA, "ES256", "ES384", "ES512", "EdDSA"])
def test_a_public_key_verifies_what_its_private_key_signed(algorithm: str) -> None:
    token = token_of(algorithm, {"sub": "42"})
    key = from_pem(public_pem(private_key(algorithm)))
    assert key.algorithms == (RSA if algorithm in RSA else (algorithm,))
    assert verified(token, key, algorithm) == b'{"sub":"42"}'
    with pytest.raises(ValueError, match="Signature"):
        verified(token_of(algorithm, {"sub": "42"}, number=1), key, algorithm)


def test_a_token_of_another_algorithm_than_the_expected_is_refused() -> None:
    pem = public_pem(private_key("RS256"))
    confused = forged(b'{"alg":"HS256"}', b'{"sub":"admin"}', pem.encode())
    with pytest.raises(ValueError, match="not allowed"):
        verified(confused, from_pem(pem), "RS256")
    with pytest.raises(ValueError, match="not allowed"):
        verified(forged(b'{"alg":"none"}', b"{}", b""), from_secret(SECRET), "HS256")


def test_there_is_no_algorithm_called_none() -> None:
    with pytest.raises(ValueError, match="not supported"):
        verified(forged(b'{"alg":"none"}', b"{}", b""), Key(None, ("none",)), "none")


@pytest.mark.parametrize("secret", ["", b"", public_pem(private_key("ES256"))], ids=["empty", "none", "a public key"])
def test_a_secret_is_not_empty_and_no_public_key(secret: str | bytes) -> None:
    with pytest.raises(UsageError, match="give the latter as public_key"):
        from_secret(secret)


def foreign_pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "secret",
        private_pem(private_key("ES256")),
        public_pem(private_key("RS256", size=1024)),
        foreign_pem(ec.generate_private_key(ec.SECP256K1())),
        foreign_pem(ed448.Ed448PrivateKey.generate()),
    ],
    ids=["empty", "no PEM", "private", "short", "of an unknown curve", "of an unknown kind"],
)
def test_what_is_no_public_key_for_tokens_is_refused_with_what_would_be(pem: str) -> None:
    with pytest.raises(UsageError, match="-----BEGIN PUBLIC KEY-----"):
        from_pem(pem)


def test_an_entry_of_a_key_set_may_say_its_one_algorithm() -> None:
    entry = jwk(private_key("RS256"), "a")
    assert from_jwk(entry).algorithms == RSA
    assert from_jwk({**entry, "alg": "RS384", "use": "sig"}).algorithms == ("RS384",)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_an_entry_of_a_key_set_verifies(algorithm: str) -> None:
    key = from_jwk(jwk(private_key(algorithm), "a"))
    assert verified(token_of(algorithm, {"sub": "42"}), key, algorithm) == b'{"sub":"42"}'


EC_ENTRY = jwk(private_key("ES256"), "a")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct"},
        {"kty": 7},
        {**EC_ENTRY, "alg": ["ES256"]},
        {**EC_ENTRY, "alg": "ES384"},
        {**EC_ENTRY, "alg": "ECDH-ES"},
        {**EC_ENTRY, "use": "enc"},
        {**EC_ENTRY, "x": "AAAA"},
        {**EC_ENTRY, "x": 7},
        {**EC_ENTRY, "d": "A" * 43},
        {**jwk(private_key("RS256"), "a"), "alg": "PS256"},
        jwk(private_key("RS256", size=1024), "a"),
    ],
    ids=lambda entry: str({name: entry[name] for name in entry if name != "n"})[:60],
)
def test_an_entry_that_is_no_public_key_for_signatures_is_a_fault(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no key|no public key"):
        from_jwk(entry)
