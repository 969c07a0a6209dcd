"""The values of authentication: their defaults give nothing away."""

from typing import Any

import pytest

from hubbub import UsageError
from hubbub.auth import Auth, Grant, Identity, Override
from hubbub.protocol.publication import Json


def test_an_identity_is_anonymous_and_lasts_unless_it_is_said_otherwise() -> None:
    identity = Identity()
    assert identity == ("", None, None, 0.0, {}, None)
    assert Identity("42").user == "42"


def test_the_default_of_subscriptions_cannot_be_written_to() -> None:
    assert not hasattr(Identity().subscriptions, "__setitem__")


def test_a_grant_overrides_nothing_unless_it_is_said_otherwise() -> None:
    assert Grant() == (None, None, 0.0, Override())
    assert set(Override()) == {None}


def test_the_contract_is_two_questions() -> None:
    assert Auth.__abstractmethods__ == {"authenticate", "authorize"}


@pytest.mark.parametrize("field", ["info", "data"])
@pytest.mark.parametrize("kind", [Grant, Identity])
def test_bytes_that_are_json_are_json_and_others_are_refused_unless_a_token_says_them(kind: Any, field: str) -> None:
    encoded = getattr(kind(**{field: b'{"a":\n1}'}).encoded(), field)
    assert (encoded, type(encoded)) == ('{"a":1}', Json)
    with pytest.raises(UsageError, match=f"the {field} of an? {kind.__name__} is bytes that are not JSON"):
        kind(**{field: b"\xff"}).encoded()
    assert getattr(kind(**{field: b"\xff"}).encoded(binary=True), field) == b"\xff"


def test_grants_of_an_identity_are_held_to_the_same() -> None:
    identity = Identity("anna", subscriptions={"room": Grant(data=b"\xff")})
    with pytest.raises(UsageError, match="the data of a Grant"):
        identity.encoded()
    assert identity.encoded(binary=True) == identity
