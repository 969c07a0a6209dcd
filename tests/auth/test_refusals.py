"""Why tokens are refused: in the log, once for each reason."""

import asyncio
import logging

import pytest
from tests.auth.issuer import SECRET, Time, signed

from hubbub.auth import JWT
from hubbub.auth.refusals import ONCE, Refusals
from hubbub.errors import Expired, HubbubError, TokenExpired


@pytest.mark.parametrize(
    ("claims", "reason", "level"),
    [
        ({"sub": "anna", "aud": "other"}, "it is for another audience", logging.WARNING),
        ({"sub": "anna", "aud": "chat", "exp": 1}, "it has expired or is not valid yet", logging.INFO),
        ({"sub": "anna", "aud": "chat", "expire_at": 1}, "it has expired or is not valid yet", logging.INFO),
        ({"aud": "chat"}, "it is for no user, and allow_anonymous is False", logging.WARNING),
    ],
)
def test_the_first_refusal_for_a_reason_is_logged_and_more_at_the_debug_level(
    caplog: pytest.LogCaptureFixture, claims: dict[str, object], reason: str, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "hubbub")
    jwt = JWT(secret=SECRET, audience="chat", allow_anonymous=False, clock=Time())
    for _ in range(3):
        with pytest.raises(HubbubError):
            asyncio.run(jwt.authenticate(signed(claims)))
    sentence = f"a connection token is refused: {reason}"
    assert caplog.record_tuples == [
        ("hubbub", level, sentence + ONCE),
        ("hubbub", logging.DEBUG, sentence),
        ("hubbub", logging.DEBUG, sentence),
    ]


def test_an_expired_subscription_token_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubbub")
    jwt = JWT(secret=SECRET, clock=Time())
    for _ in range(2):
        with pytest.raises((Expired, TokenExpired)):
            asyncio.run(jwt.authorize(signed({"sub": "anna", "channel": "news", "exp": 1}), "news", "anna", ""))
    assert caplog.messages == ["a subscription token is refused: it has expired or is not valid yet" + ONCE]


def test_reasons_without_end_are_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubbub")
    refusals = Refusals()
    for number in range(1000):
        refusals.say("a connection token", f"reason {number}")
    assert len(caplog.messages) == 50
