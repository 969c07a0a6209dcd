"""JSON Web Tokens: what they let in, what they keep out, and what each refusal is called."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.auth.issuer import NOW, SECRET, Issuer, Time, forged, jwk, private_key, public_pem, signed, token_of

from hubbub.auth import JWT, Auth, Grant, Identity, Override
from hubbub.errors import (
    Expired,
    Forbidden,
    InternalError,
    InvalidToken,
    SessionForbidden,
    TokenExpired,
    UsageError,
)
from hubbub.protocol.publication import Json

Result = TypeVar("Result")
OTHER_SECRET = "another secret, which has also more than 32 bytes"


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(coroutine)


def auth(**given: Any) -> JWT:
    return JWT(**{"secret": SECRET, "clock": Time(), **given})


def connect(token: str, **given: Any) -> Identity:
    return run(auth(**given).authenticate(token))


def subscribe(token: str, channel: str = "news", user: str = "42", client: str = "c", **given: Any) -> Grant:
    return run(auth(**given).authorize(token, channel, user, client))


def test_a_connection_is_who_its_token_says() -> None:
    claims = {
        "sub": "42",
        "exp": NOW + 60,
        "nbf": NOW - 1,
        "iat": NOW,
        "jti": "x",
        "info": {"name": "Zoë"},
        "subs": {"news": {"data": 1, "override": {"presence": {"value": True}}}},
        "meta": {"plan": "gold"},
        "whatever": [1],
    }
    assert connect(signed(claims)) == Identity(
        user="42",
        info=Json('{"name": "Zoë"}'),
        expire_at=NOW + 60,
        subscriptions={"news": Grant(data=Json("1"), override=Override(presence=True))},
        meta={"plan": "gold"},
    )


def test_half_an_emoji_in_a_claim_spoils_no_token() -> None:
    payload = rb'{"sub":"42","uid":"\ud83d","info":{"name": "cut \ud83d"},"meta":{"cut \ud83d":1}}'
    token = forged(b'{"alg":"HS256"}', payload)
    assert connect(token) == Identity("42", Json(r'{"name": "cut \ud83d"}'), meta={"cut \ufffd": 1})
    assert connect(token, user_claim="uid").user == "\ufffd"


def test_a_subscription_is_given_what_its_token_says() -> None:
    claims = {"sub": "42", "channel": "news", "client": "c", "exp": NOW + 60, "info": 1, "data": [2]}
    claims["override"] = {"force_recovery": {"value": False}}
    assert subscribe(signed(claims)) == Grant(Json("1"), Json("[2]"), NOW + 60, Override(force_recovery=False))


def test_an_empty_token_of_claims_is_anonymous_and_never_expires() -> None:
    assert connect(signed({})) == Identity()
    assert subscribe(signed({"channel": "news"}), user="") == Grant()


def test_anonymous_users_can_be_kept_out() -> None:
    for claims in ({}, {"sub": ""}, {"sub": None}):
        with pytest.raises(SessionForbidden):
            connect(signed(claims), allow_anonymous=False)
    assert connect(signed({"sub": "42"}), allow_anonymous=False).user == "42"


def test_another_claim_may_name_the_user() -> None:
    assert connect(signed({"sub": "a", "uid": 42}), user_claim="uid").user == "42"
    assert subscribe(signed({"sub": "a", "uid": "42", "channel": "news"}), user_claim="uid") == Grant()
    with pytest.raises(InvalidToken):
        connect(signed({"uid": [42]}), user_claim="uid")


REFUSED: list[Any] = [
    pytest.param("", id="empty"),
    pytest.param("a.b.c", id="no token"),
    pytest.param("\ud800.\ud800.\ud800", id="no text"),
    pytest.param(forged(b'{"alg":"HS256"}', b"{}", b"another secret"), id="another secret"),
    pytest.param(forged(b'{"alg":"none"}', b"{}"), id="none"),
    pytest.param(forged(b'{"alg":"HS256","crit":["x"],"x":1}', b"{}"), id="an extension"),
    pytest.param(forged(b'{"alg":"HS256","b64":false,"crit":["b64"]}', b""), id="a detached payload"),
    pytest.param(forged(b'{"alg":"HS256"}', b"[]"), id="no claims"),
    pytest.param(forged(b'{"alg":"HS256"}', b"\xff"), id="no JSON"),
    pytest.param(forged(b'{"alg":"HS256"}', b'{"info":' + b"[" * 10_000), id="nested deeply"),
    pytest.param(forged(b'{"alg":' + b"[" * 10_000, b"{}"), id="a header nested deeply"),
    pytest.param(signed({"sub": 42}), id="sub a number"),
    pytest.param(signed({"channel": "news", "sub": "42", "exp": "soon"}), id="exp no number"),
    pytest.param(signed({"channel": "news", "sub": "42", "b64info": "?"}), id="info no base64"),
]


@pytest.mark.parametrize("token", REFUSED)
def test_a_token_that_is_none_ends_the_connection_and_forbids_the_subscription(token: str) -> None:
    with pytest.raises(InvalidToken):
        connect(token)
    with pytest.raises(Forbidden):
        subscribe(token)


def test_a_subscription_token_connects_nobody_and_a_connection_token_subscribes_nobody() -> None:
    with pytest.raises(InvalidToken):
        connect(signed({"sub": "42", "channel": "news"}))
    for claims in ({"sub": "42"}, {"sub": "42", "channel": ""}):
        with pytest.raises(Forbidden):
            subscribe(signed(claims))


@pytest.mark.parametrize("changed", [{"channel": "other"}, {"sub": "43"}, {"sub": ""}, {"client": "d"}])
def test_a_subscription_token_of_somebody_else_ends_the_connection(changed: dict[str, str]) -> None:
    claims = {"sub": "42", "channel": "news", "client": "c"}
    assert subscribe(signed(claims)) == Grant()
    with pytest.raises(InvalidToken):
        subscribe(signed(claims | changed))


@pytest.mark.parametrize("claims", [{"exp": NOW}, {"exp": NOW - 0.5}, {"nbf": NOW + 0.5}])
def test_outside_its_time_a_token_is_expired(claims: dict[str, float]) -> None:
    connection, subscription = signed(claims), signed({"sub": "42", "channel": "news", **claims})
    with pytest.raises(TokenExpired):
        connect(connection)
    with pytest.raises(TokenExpired):
        subscribe(subscription)
    assert connect(connection, leeway=1).user == ""
    assert subscribe(subscription, leeway=1).info is None


def test_a_token_expires_as_time_goes_on() -> None:
    time = Time()
    jwt = auth(clock=time)
    token = jwt.token("42", expire_in=60)
    time.now += 59
    assert run(jwt.authenticate(token)).expire_at == NOW + 60
    time.now += 1
    with pytest.raises(TokenExpired):
        run(jwt.authenticate(token))


def test_expire_at_is_apart_from_the_life_of_the_token() -> None:
    assert connect(signed({"exp": NOW + 60, "expire_at": NOW + 9})).expire_at == NOW + 9
    assert connect(signed({"exp": NOW + 60, "expire_at": 0})).expire_at == 0
    assert subscribe(signed({"sub": "42", "channel": "news", "exp": NOW + 60, "expire_at": 0})).expire_at == 0
    with pytest.raises(Expired):
        connect(signed({"exp": NOW + 60, "expire_at": NOW}))
    with pytest.raises(Expired):
        subscribe(signed({"sub": "42", "channel": "news", "exp": NOW + 60, "expire_at": NOW}))


def test_audience_and_issuer_are_compared_where_they_are_given() -> None:
    given = {"audience": "chat", "issuer": "https://login.example"}
    good = {"sub": "42", "aud": ["mail", "chat"], "iss": "https://login.example"}
    assert connect(signed(good), **given).user == "42"
    assert subscribe(signed({**good, "channel": "news"}), **given) == Grant()
    for wrong in ({"aud": "mail"}, {"iss": "https://elsewhere.example"}):
        with pytest.raises(InvalidToken):
            connect(signed(good | wrong), **given)
        with pytest.raises(Forbidden):
            subscribe(signed({**good, **wrong, "channel": "news"}), **given)


def test_subscription_tokens_may_have_keys_of_their_own() -> None:
    jwt = auth(subscription=auth(secret=OTHER_SECRET))
    token = jwt.subscription_token("42", "news")
    assert run(jwt.authorize(token, "news", "42", "c")).expire_at == NOW + 3600
    with pytest.raises(Forbidden):
        subscribe(token)
    with pytest.raises(Forbidden):
        run(jwt.authorize(auth().subscription_token("42", "news"), "news", "42", "c"))
    assert run(jwt.authenticate(jwt.token("42"))).user == "42"


def test_a_secret_can_be_changed_while_old_tokens_are_about() -> None:
    old = auth(secret=OTHER_SECRET).token("42")
    assert connect(old, previous_secret=OTHER_SECRET, previous_secret_until=NOW + 60).user == "42"
    with pytest.raises(InvalidToken):
        connect(old, previous_secret=OTHER_SECRET, previous_secret_until=NOW - 1)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_public_key_is_enough_to_verify(algorithm: str) -> None:
    jwt = JWT(public_key=public_pem(private_key(algorithm)), clock=Time())
    assert run(jwt.authenticate(token_of(algorithm, {"sub": "42"}))).user == "42"
    with pytest.raises(InvalidToken):
        run(jwt.authenticate(token_of(algorithm, {"sub": "42"}, number=1)))
    with pytest.raises(UsageError, match="signed with a secret"):
        jwt.token("42")


def test_published_keys_verify_and_their_outage_is_temporary() -> None:
    with Issuer(jwk(private_key("ES256"), "a")) as issuer:
        issuer.status = 500
        away, jwt = JWT(jwks_url=issuer.url, clock=Time()), JWT(jwks_url=issuer.url, clock=Time())
        for question in (away.authenticate, lambda token: away.authorize(token, "news", "42", "c")):
            with pytest.raises(InternalError) as caught:
                run(question(token_of("ES256", {"sub": "42"}, kid="a")))
            assert caught.value.temporary
        issuer.status = 200
        assert run(jwt.authenticate(token_of("ES256", {"sub": "42"}, kid="a"))).user == "42"


def test_without_a_key_there_is_nothing_to_verify_with() -> None:
    with pytest.raises(UsageError, match="give secret, public_key or jwks_url"):
        JWT()


class Profile(BaseModel):
    name: str


def test_a_login_route_makes_tokens_with_any_claims() -> None:
    jwt = auth(audience="chat", issuer="us", user_claim="uid")
    made = jwt.token("42", info=Profile(name="Zoë"), channels=["news"], expire_in=0.5)
    assert run(jwt.authenticate(made)) == Identity("42", Json('{"name":"Zoë"}'), None, NOW + 1, {"news": Grant()})
    made = jwt.subscription_token("42", "news", data=[1], expire_in=None)
    assert run(jwt.authorize(made, "news", "42", "c")) == Grant(data=Json("[1]"))
    assert run(jwt.authenticate(jwt.token("42", exp=NOW + 7))).expire_at == NOW + 7


def test_a_claim_without_a_json_form_is_refused_when_the_token_is_made() -> None:
    with pytest.raises(UsageError, match="cannot send"):
        auth().token("42", info=object())


def test_refusals_are_explained_in_the_log_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "hubbub")
    tokens = [token.values[0] for token in REFUSED] + [
        signed({"sub": "42", "channel": "news", "client": "d"}),
        signed({"sub": "topsecret", "iss": 7, "jti": "topsecret"}),
        forged(b'{"alg":"topsecret"}', b"{}"),
    ]
    for token in tokens:
        with pytest.raises(InvalidToken) as ended:
            connect(token)
        with pytest.raises((Forbidden, InvalidToken)) as refused:
            subscribe(token)
        assert (ended.value.reason, ended.value.__cause__, refused.value.__cause__) == ("invalid token", None, None)
    assert len(caplog.messages) == 2 * len(tokens)
    for message in caplog.messages:
        assert " token is refused: " in message
        assert "topsecret" not in message
        assert not any(part and len(part) > 3 and part in message for token in tokens for part in token.split("."))


DOCUMENTED = (InvalidToken, Forbidden, SessionForbidden, TokenExpired, Expired)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("sub", "exp", "nbf", "iat", "jti", "aud", "iss", "expire_at", "channel", "client", "uid", "meta"),
        *("info", "b64info", "data", "b64data", "channels", "subs", "override"),
    ]
)
HEADERS = st.fixed_dictionaries({}, optional={"alg": VALUES | st.just("HS256"), "kid": VALUES, "crit": VALUES})
ALL = JWT(secret=SECRET, public_key=public_pem(private_key("ES256")), clock=Time())
BY_UID = JWT(secret=SECRET, user_claim="uid", allow_anonymous=False, audience="chat", leeway=9, clock=Time())


def ask(jwt: Auth, token: str) -> None:
    """Both questions are answered, or refused with an error of the contract."""
    with suppress(DOCUMENTED):
        assert isinstance(run(jwt.authenticate(token)), Identity)
    with suppress(DOCUMENTED):
        assert isinstance(run(jwt.authorize(token, "news", "42", "c")), Grant)


@given(st.text())
def test_no_text_makes_a_verifier_fail(token: str) -> None:
    ask(ALL, token)


@given(HEADERS | VALUES, st.binary(), st.binary())
def test_no_header_makes_a_verifier_fail(header: Any, payload: bytes, secret: bytes) -> None:
    head = json.dumps(header).encode()
    ask(ALL, forged(head, payload, secret))
    ask(ALL, forged(head, payload))


@given(st.dictionaries(NAMES, VALUES))
def test_no_claims_make_a_verifier_fail(claims: dict[str, Any]) -> None:
    for jwt in (ALL, BY_UID):
        ask(jwt, signed(claims))


@given(st.binary())
def test_no_payload_makes_a_verifier_fail(payload: bytes) -> None:
    ask(ALL, forged(b'{"alg":"HS256"}', payload))
