"""Names and values that were misspelt are answered with the one that was meant, and with all that there are."""

import asyncio
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from fastapi import FastAPI

from hubbub import JWT, Hub, UsageError
from hubbub.channels import Rules
from hubbub.hub.maps.rules import MapRules
from hubbub.hub.polls import PollRules
from hubbub.spelling import ensure_rules, meant_by

KNOWN = ("history", "ttl", "may_publish", "may_subscribe")


@pytest.mark.parametrize(
    ("name", "meant"), [("histroy", "history"), ("may_subscrib", "may_subscribe"), ("colour", ""), ("", "")]
)
def test_what_looks_like_a_name_is_meant_by_it(name: str, meant: str) -> None:
    assert meant_by(name, KNOWN) == meant


def test_known_rules_pass_and_one_that_is_not_is_answered_with_all() -> None:
    ensure_rules(["ttl", "history"], KNOWN, "a channel")
    with pytest.raises(UsageError) as caught:
        ensure_rules(["ttl", "histroy"], KNOWN, "a channel")
    assert str(caught.value) == (
        "a channel has no rule 'histroy'; did you mean 'history'? there are history, ttl, may_publish, may_subscribe"
    )
    with pytest.raises(UsageError, match=r"^a map has no rule 'colour'; there are history, ttl"):
        ensure_rules(["colour"], KNOWN, "a map")


def test_every_kind_of_channel_answers_a_misspelt_rule_with_its_own() -> None:
    hub = Hub()
    with pytest.raises(UsageError, match="a channel has no rule 'may_publsh'; did you mean 'may_publish'") as stream:
        hub.channel("a", may_publsh="users")
    with pytest.raises(UsageError, match="a map channel has no rule 'key_tll'; did you mean 'key_ttl'") as entries:
        hub.map_channel("a", key_tll="60s")
    with pytest.raises(UsageError, match="a shared poll channel has no rule 'bacth'; did you mean 'batch'") as polled:
        hub.poll_channel("a", every=5, secret="x" * 32, bacth=10)
    with pytest.raises(UsageError, match="did you mean 'previous_secret'"):
        hub.poll_channel("a", every=5, secret="x" * 32, previos_secret="y" * 32)
    assert "there are " + ", ".join(Rules._fields) in str(stream.value)
    assert "there are " + ", ".join(MapRules._fields) + ", presence," in str(entries.value)
    assert "there are " + ", ".join(PollRules._fields) + ", delta," in str(polled.value)


# Values


def choices_of(kind: Any) -> list[object]:
    if kind is bool:
        return [True, False]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [value for one in get_args(kind) for value in choices_of(one)]


CHOICES = [
    (name, choices_of(kind))
    for rules in (Rules, MapRules, PollRules)
    for name, kind in get_type_hints(rules).items()
    if any(isinstance(one, str) for one in choices_of(kind))
]


def declare(name: str, value: object) -> None:
    """Declares a channel of the type that has this rule."""
    hub = Hub()
    if name in Rules._fields:
        hub.channel("a", **{"history": 1, name: value})
    elif name == "mode":
        hub.map_channel("a", mode=value)  # type: ignore[arg-type]
    else:
        hub.map_channel("a", mode="persistent", **{name: value})


@pytest.mark.parametrize(("name", "choices"), CHOICES)
def test_a_value_that_was_misspelt_is_answered_with_all_there_are_and_what_was_meant(
    name: str, choices: list[object]
) -> None:
    if name == "recovery":
        choices = [*choices, "cache"]
    for choice in filter(None, choices):
        if isinstance(choice, str):
            with pytest.raises(UsageError) as caught:
                declare(name, f"{choice}x")
            *most, last = map(repr, choices)
            assert str(caught.value).endswith(
                f": {name}: Input should be {', '.join(most)} or {last}, not '{choice}x'; did you mean {choice!r}?"
            )
    for far in ("qqqqqq", 7):
        with pytest.raises(UsageError, match=rf"{name}: Input should be .*, not {far!r}$"):
            declare(name, far)


def test_the_rules_with_choices_are_those_that_one_thinks_of() -> None:
    assert {"recovery", "recovery_mode", "positioning", "join_leave", "may_subscribe", "may_read_history"} <= dict(
        CHOICES
    ).keys()
    assert {"mode", "of", "client_key", "may_remove"} <= dict(CHOICES).keys()


@pytest.mark.parametrize("declared", ["map_channel", "poll_channel"])
def test_every_type_of_channel_answers_a_misspelt_value(declared: str) -> None:
    needed: dict[str, Any] = {"every": 5, "secret": "x" * 32} if declared == "poll_channel" else {"mode": "persistent"}
    with pytest.raises(UsageError, match=r"may_subscribe: Input should be .*'everybody'; did you mean 'everyone'\?"):
        getattr(Hub(), declared)("a", **needed, may_subscribe="everybody")


def test_the_values_of_other_arguments_are_asked_about_too() -> None:
    with pytest.raises(UsageError, match=r"^receive is 'jsno'; did you mean 'json'\? give 'text', 'bytes', 'json', or"):
        Hub().connect(None, receive="jsno")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"those that the keys are for: HS256, HS384, HS512; did you mean 'HS256'\?$"):
        JWT(secret="x" * 32, algorithms=["HS384", "HS265"])


def test_when_an_entry_is_put_is_checked() -> None:
    hub = Hub()
    board = hub.map_channel("board", mode="persistent")

    async def put() -> None:
        async with hub.lifespan(FastAPI()):
            with pytest.raises(
                UsageError,
                match=r"^only: Input should be '', 'if_new', 'if_exists' or 'touch', not 'if_nwe'; did you mean 'if_n",
            ):
                await board.publish("key", 1, only="if_nwe")  # type: ignore[arg-type]
            assert (await board.publish("key", 1, only="if_new")).suppressed == ""

    asyncio.run(put())
