"""The values of authentication: their defaults give nothing away."""

from hubbub.auth import Auth, Grant, Identity, Override


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
