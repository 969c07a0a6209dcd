"""Signatures of keys: good for whom and what they were made for, for as long as they say, and for nothing else."""

import hashlib
import hmac
import logging

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubbub.auth.signatures import GRACE, TrackSigner
from hubbub.errors import Forbidden, TokenExpired, UsageError

SIGNER = TrackSigner("secret")
NOW = 1_700_000_000
MORNING = NOW - 3600
EVENING = NOW + 3600
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
KEYS = st.lists(TEXT, max_size=4)


def made_by_hand(user: str, channel: str, keys: list[str], issued: int, expires: int, secret: str = "secret") -> str:
    """As the protocol's description says."""
    hashed = hashlib.sha256("\x00".join(keys).encode()).hexdigest()
    text = f"{issued}\x00{expires}\x00{user}\x00{channel}\x00{hashed}"
    return f"{issued}:{expires}:{hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def verify(signature: str, keys: list[str], now: float = NOW) -> int:
    return SIGNER.verify(signature, "anna", "prices:oslo", keys, now)


@given(user=TEXT, channel=TEXT, keys=KEYS)
def test_a_signature_is_what_the_protocol_says_and_good_for_what_it_was_made_for(
    user: str, channel: str, keys: list[str]
) -> None:
    signature = SIGNER.sign(user, channel, keys, MORNING, EVENING)
    assert signature == made_by_hand(user, channel, keys, MORNING, EVENING)
    assert SIGNER.verify(signature, user, channel, keys, NOW) == EVENING


@given(signed=st.tuples(TEXT, TEXT, KEYS), asked=st.tuples(TEXT, TEXT, KEYS))
def test_a_signature_is_good_for_nothing_else(
    signed: tuple[str, str, list[str]], asked: tuple[str, str, list[str]]
) -> None:
    assume(signed != asked and ([*signed[2]] or [""]) != ([*asked[2]] or [""]))
    with pytest.raises(Forbidden):
        SIGNER.verify(SIGNER.sign(*signed, MORNING, EVENING), *asked, NOW)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "x",
        "::",
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING, "another secret"),
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING).upper(),
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING)[:-1],
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING) + "0",
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING) + "\n",
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, EVENING).replace(str(EVENING), str(EVENING + 1)),
        made_by_hand("anna", "prices:oslo", ["k"], MORNING, -1),
        "١٢:٣:" + "0" * 64,
        f"{'9' * 5000}:1:{'0' * 64}",
        "é:1:" + "0" * 64,
    ],
)
def test_what_is_no_signature_of_ours_is_refused(signature: str) -> None:
    with pytest.raises(Forbidden):
        verify(signature, ["k"])


def test_keys_count_in_their_order_and_cannot_be_joined() -> None:
    signature = SIGNER.sign("anna", "prices:oslo", ["a", "b"], MORNING, EVENING)
    assert verify(signature, ["a", "b"]) == EVENING
    for keys in (["b", "a"], ["a"], ["ab"], ["a", "b", ""], ["a\0b"]):
        with pytest.raises(Forbidden):
            verify(signature, keys)
    with pytest.raises(UsageError, match="NUL"):
        SIGNER.sign("anna", "prices:oslo", ["a\0b"], MORNING, EVENING)


def test_a_signature_is_good_until_a_little_after_its_expiry() -> None:
    signature = SIGNER.sign("anna", "prices:oslo", ["k"], MORNING, EVENING)
    assert verify(signature, ["k"], EVENING + GRACE) == EVENING
    with pytest.raises(TokenExpired):
        verify(signature, ["k"], EVENING + GRACE + 1)


def test_without_an_expiry_a_signature_is_good_for_ever() -> None:
    assert verify(SIGNER.sign("anna", "prices:oslo", ["k"], MORNING, 0), ["k"], 1e12) == 0


def test_what_was_signed_with_the_previous_secret_is_good_too() -> None:
    signer = TrackSigner("new", "secret")
    old = SIGNER.sign("anna", "c", ["k"], MORNING, EVENING)
    assert signer.verify(old, "anna", "c", ["k"], NOW) == EVENING
    assert signer.sign("anna", "c", ["k"], MORNING, EVENING) != old
    with pytest.raises(Forbidden):
        TrackSigner("new").verify(old, "anna", "c", ["k"], NOW)


@pytest.mark.parametrize("secrets", [("",), ("new", "")])
def test_a_secret_is_not_empty(secrets: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"empty; make one with secrets\.token_urlsafe"):
        TrackSigner(*secrets)


def test_a_short_secret_is_warned_of_and_works(caplog: pytest.LogCaptureFixture) -> None:
    signer = TrackSigner("hunter2", "x" * 32)
    assert signer.verify(signer.sign("anna", "c", ["k"], MORNING, 0), "anna", "c", ["k"], NOW) == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hubbub", logging.WARNING)
    assert record.getMessage().startswith("a secret of 7 bytes can be guessed from one signature: make one of 32 with")


def test_a_long_secret_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    TrackSigner("x" * 32, "short, but on its way out")
    assert caplog.records == []
