"""Claims: what they say, and what is wrong with them."""

import base64
from typing import Any

import msgspec
import pytest

from hubbub.auth import Grant, Identity, Override
from hubbub.auth.claims import Claims, ConnectionClaims, Options, SubscriptionClaims, user_of
from hubbub.errors import Expired, TokenExpired
from hubbub.protocol.publication import Json

NOW = 1_700_000_000.0


def connection(text: str) -> Identity:
    return msgspec.json.decode(text, type=ConnectionClaims).identity("42", 0.0)


def grant(text: str) -> Grant:
    return msgspec.json.decode(text, type=SubscriptionClaims).grant()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ('{"info": {"name" : "Zoë",\n "n": [1, 2]}}', '{"name" : "Zoë", "n": [1, 2]}'),
        ('{"info": 1.10}', "1.10"),
        ('{"info": 12345678901234567890123}', "12345678901234567890123"),
        ('{"info": "a b\\nc"}', '"a b\\nc"'),
        ('{"info": false}', "false"),
    ],
)
def test_info_is_the_json_of_the_token_as_it_was_written_but_for_line_ends(text: str, info: str) -> None:
    for found in (connection(text).info, grant(text).info, grant(text.replace("info", "data")).data):
        assert isinstance(found, Json)
        assert found == info


@pytest.mark.parametrize("text", ["{}", '{"info":null,"data":null,"b64info":null,"b64data":""}'])
def test_what_is_null_is_absent(text: str) -> None:
    assert connection(text) == Identity("42")
    assert grant(text) == Grant()


def test_base64_may_hold_what_is_no_json_and_wins_over_the_plain_claim() -> None:
    info, data = b"\xff\x00", b"\x01"
    text = f'{{"info":1,"b64info":"{base64_of(info)}","data":2,"b64data":"{base64_of(data)}"}}'
    assert connection(text).info == info
    assert grant(text)[:2] == (info, data)


def test_base64_of_json_is_json() -> None:
    encoded = base64_of(b"[1]")
    info = connection(f'{{"b64info":"{encoded}"}}').info
    assert isinstance(info, Json)
    assert info == "[1]"


def test_channels_are_subscribed_to_without_more() -> None:
    assert connection('{"channels":["a","b"],"subs":{}}').subscriptions == {"a": Grant(), "b": Grant()}


def test_subs_win_over_channels_and_give_each_its_own() -> None:
    text = """{"channels":["x"], "subs":{
        "a":{"info":{"n":1},"data":"hello"},
        "b":{"override":{"presence":{"value":true},"force_recovery":{"value":false},"join_leave":{}}},
        "c":{}}}"""
    assert connection(text).subscriptions == {
        "a": Grant(info='{"n":1}', data='"hello"'),
        "b": Grant(override=Override(presence=True, join_leave=False, force_recovery=False)),
        "c": Grant(),
    }


def test_every_rule_can_be_replaced() -> None:
    for name in Override._fields:
        found = grant(f'{{"override":{{"{name}":{{"value":true}}}}}}').override
        assert found == Override(**{name: True})


def test_meta_is_kept_as_python_has_it() -> None:
    assert connection('{"meta":{"plan":["gold",1.5]}}').meta == {"plan": ["gold", 1.5]}


WRONG: list[tuple[str, str]] = [
    ("sub", "42"),
    ("exp", '"tomorrow"'),
    ("exp", "true"),
    ("exp", "1e999"),
    ("exp", "9" * 400),
    ("nbf", "[]"),
    ("iat", '"now"'),
    ("jti", "7"),
    ("aud", "7"),
    ("aud", '["a",7]'),
    ("iss", "{}"),
    ("expire_at", '"0"'),
    ("channel", "1"),
    ("b64info", "1"),
    ("channels", '"news"'),
    ("channels", "[1]"),
    ("subs", "[]"),
    ("subs", '{"a":1}'),
    ("subs", '{"a":{"override":{"presence":true}}}'),
    ("subs", '{"a":{"override":{"presence":{"value":1}}}}'),
    ("meta", '"gold"'),
    ("meta", "[]"),
    ("client", "1"),
    ("override", "true"),
    ("info", "NaN"),
    ("info", '"\\ud800"'),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_claim_of_a_wrong_type_is_a_fault(name: str, value: str) -> None:
    kind = SubscriptionClaims if name == "client" else ConnectionClaims
    with pytest.raises(ValueError, match=r"Expected|range|malformed|truncated"):
        msgspec.json.decode(f'{{"{name}":{value}}}', type=kind)


@pytest.mark.parametrize("value", ["!!!!", "YQ", "ä", "YQ=\n="])
def test_what_should_be_base64_and_is_not_is_a_fault(value: str) -> None:
    text = msgspec.json.encode({"b64info": value}).decode()
    for read in (connection, grant):
        with pytest.raises(ValueError, match=r"base64|padding|ASCII"):
            read(text)
    with pytest.raises(ValueError, match=r"base64|padding|ASCII"):
        msgspec.json.decode(text, type=Options).grant()


@pytest.mark.parametrize(
    ("claims", "now", "leeway"),
    [
        ({"exp": NOW}, NOW, 0),
        ({"exp": 0}, NOW, 0),
        ({"exp": NOW + 0.5}, NOW + 1, 0),
        ({"exp": NOW}, NOW + 5, 5),
        ({"nbf": NOW + 0.5}, NOW, 0),
        ({"nbf": NOW + 6}, NOW, 5),
    ],
)
def test_outside_its_time_a_token_is_expired(claims: dict[str, Any], now: float, leeway: float) -> None:
    with pytest.raises(TokenExpired):
        Claims(**claims).ensure_current(now, leeway)


@pytest.mark.parametrize(
    ("claims", "leeway"),
    [({}, 0), ({"exp": NOW + 0.5}, 0), ({"exp": NOW - 4}, 5), ({"nbf": NOW}, 0), ({"nbf": NOW + 5}, 5)],
)
def test_within_its_time_a_token_is_good(claims: dict[str, Any], leeway: float) -> None:
    Claims(**claims).ensure_current(NOW, leeway)


@pytest.mark.parametrize(
    ("claims", "expiry"),
    [
        ({}, 0),
        ({"exp": NOW + 60}, NOW + 60),
        ({"exp": NOW + 60, "expire_at": NOW + 5.5}, NOW + 5.5),
        ({"exp": NOW + 60, "expire_at": 0}, 0),
        ({"expire_at": -1}, 0),
    ],
)
def test_expire_at_is_when_the_connection_expires_and_otherwise_exp(claims: dict[str, Any], expiry: float) -> None:
    assert Claims(**claims).expiry(NOW, 0) == expiry


def test_the_leeway_of_the_token_is_also_that_of_what_expires_with_it() -> None:
    claims = Claims(exp=NOW - 4)
    assert claims.expiry(NOW, 5) == NOW + 1


def test_an_expiry_in_the_past_is_another_fault_than_an_old_token() -> None:
    with pytest.raises(Expired):
        Claims(exp=NOW + 60, expire_at=NOW).expiry(NOW, 5)


@pytest.mark.parametrize("aud", ["chat", ["mail", "chat"]])
def test_the_audience_is_one_of_those_of_the_token(aud: str | list[str]) -> None:
    Claims(aud=aud).ensure_meant_for("chat", None)


@pytest.mark.parametrize("aud", [None, "", "mail", "chatter", [], ["mail"]])
def test_a_token_for_another_audience_is_a_fault(aud: str | list[str] | None) -> None:
    with pytest.raises(ValueError, match="another audience"):
        Claims(aud=aud).ensure_meant_for("chat", None)


@pytest.mark.parametrize("iss", [None, "", "https://elsewhere.example"])
def test_a_token_of_another_issuer_is_a_fault(iss: str | None) -> None:
    with pytest.raises(ValueError, match="another issuer"):
        Claims(iss=iss).ensure_meant_for(None, "https://login.example")


def test_nobody_asks_for_audience_and_issuer_unless_told_to() -> None:
    Claims(aud="x", iss="y").ensure_meant_for(None, None)


@pytest.mark.parametrize(
    ("text", "user"), [('{"uid":"a"}', "a"), ('{"uid":42}', "42"), ('{"uid":null}', ""), ('{"sub":"a"}', "")]
)
def test_another_claim_may_name_the_user(text: str, user: str) -> None:
    assert user_of(text.encode(), "uid") == user


@pytest.mark.parametrize("text", ['{"uid":true}', '{"uid":1.5}', '{"uid":["a"]}'])
def test_a_user_is_text_or_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        user_of(text.encode(), "uid")
