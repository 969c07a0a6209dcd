"""Channels as they are declared: patterns of names, times, rules, and which declaration a name belongs to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import UsageError
from hubbub.channels import Catalogue, Pattern, Rules, allowed_users, check_name, check_rules, seconds
from hubbub.errors import InvalidRequest, UnknownChannel

# Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "parameters"),
    [
        ("news", "news", {}),
        ("news", "news2", None),
        ("news", "", None),
        ("chat:{room}", "chat:lobby", {"room": "lobby"}),
        ("chat:{room}", "chat:a b\n*", {"room": "a b\n*"}),
        ("chat:{room}", "chat:", None),
        ("chat:{room}", "chat:a:b", None),
        ("chat:{room}", "xchat:a", None),
        ("{place}", "anything#1,2", {"place": "anything#1,2"}),
        ("{place}", "a:b", None),
        ("game:{id}:{team}", "game:7:red", {"id": "7", "team": "red"}),
        ("game:{id}:{team}", "game:7", None),
        ("docs:{path:path}", "docs:a:b/c", {"path": "a:b/c"}),
        ("docs:{path:path}", "docs:", {"path": ""}),
        ("a.b+(c)", "a.b+(c)", {}),
        ("a.b+(c)", "axb+(c)", None),
        ("{a}-{b}", "x-y-z", {"a": "x-y", "b": "z"}),
        ("#{user}", "#42", {"user": "42"}),
    ],
)
def test_a_name_matches_as_a_whole_and_gives_the_parameters(
    pattern: str, name: str, parameters: dict[str, str] | None
) -> None:
    assert Pattern(pattern).match(name) == parameters


@pytest.mark.parametrize(
    "text", ["", "{", "}", "chat:{}", "chat:{room", "chat:room}", "chat:{a b}", "chat:{{room}}", "ünï", "{room:int}"]
)
def test_a_pattern_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no channel pattern; write ASCII such as 'news' or 'chat:\{room\}'"):
        Pattern(text)


@pytest.mark.parametrize("text", ["{a}:{a}", "{a}:{a:path}"])
def test_a_parameter_is_named_once(text: str) -> None:
    with pytest.raises(UsageError, match="names a parameter twice"):
        Pattern(text)


def test_a_pattern_knows_its_parameters_and_what_all_its_names_begin_with() -> None:
    pattern = Pattern("game:{id}:{rest:path}")
    assert (pattern.text, pattern.parameters, pattern.prefix) == ("game:{id}:{rest:path}", ("id", "rest"), "game:")
    assert (Pattern("news").parameters, Pattern("news").prefix) == ((), "news")


def test_a_name_is_made_of_parameters() -> None:
    assert Pattern("news").name({}) == "news"
    assert Pattern("game:{id}:{team}").name({"team": "red", "id": 7}) == "game:7:red"
    assert Pattern("docs:{path:path}").name({"path": "a:b"}) == "docs:a:b"


@pytest.mark.parametrize(
    ("pattern", "parameters", "complaint"),
    [
        ("chat:{room}", {}, r"channel 'chat:\{room\}' takes room; given: none"),
        ("chat:{room}", {"rom": "x"}, "takes room; given: rom"),
        ("game:{id}:{team}", {"id": 1}, "takes id, team; given: id"),
        ("news", {"room": "x"}, "channel 'news' takes no parameters; given: room"),
        ("chat:{room}", {"room": "a:b"}, r"\{'room': 'a:b'\} does not fit into the channel pattern 'chat:\{room\}'"),
        ("chat:{room}", {"room": ""}, "does not fit into"),
    ],
)
def test_parameters_that_make_no_name_are_refused_and_named(
    pattern: str, parameters: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        Pattern(pattern).name(parameters)


@given(st.text(min_size=1).filter(lambda text: ":" not in text), st.text())
def test_the_name_that_parameters_make_has_these_parameters(room: str, rest: str) -> None:
    pattern = Pattern("a:{room}:{rest:path}")
    parameters = {"room": room, "rest": rest}
    assert pattern.match(pattern.name(parameters)) == parameters


# Times


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("1m1ms", 60.001),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_a_time_is_seconds_or_numbers_with_units(value: str | float, expected: float) -> None:
    result = seconds(value, "ttl")
    assert result == pytest.approx(expected)
    assert type(result) is float


@pytest.mark.parametrize("value", ["", "90", "s", "1 h", "1x", "1h30", "h1", "-1s", "1,5h", "1s!", "1e3s"])
def test_a_time_that_is_none_is_refused_with_examples(value: str) -> None:
    with pytest.raises(UsageError, match=r"^ttl is '.*'; write seconds as a number, or '90s', '15m', '1h30m', '7d'$"):
        seconds(value, "ttl")


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "0s"])
def test_a_time_is_above_zero_and_ends(value: str | float) -> None:
    with pytest.raises(UsageError, match=r"^ttl is .*; it must be above 0$"):
        seconds(value, "ttl")


# Rules


def test_what_is_not_said_is_denied_or_off() -> None:
    rules = check_rules({})
    assert rules == Rules()
    nobody = (rules.may_subscribe, rules.may_publish, rules.may_see_presence, rules.may_read_history)
    assert nobody == ("nobody",) * 4
    on = (rules.history, rules.recovery, rules.positioning, rules.presence, rules.join_leave, rules.delta)
    assert not any((*on, rules.tags_filter, rules.binary, rules.user_limited, rules.personal, rules.auto_cache))


def test_rules_are_what_was_given() -> None:
    given = {"history": 10, "ttl": 60.0, "recovery": "force", "positioning": True, "presence": True}
    assert check_rules(given) == Rules(history=10, ttl=60.0, recovery="force", positioning=True, presence=True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"histroy": 1},
            "^a channel has no rule 'histroy'; did you mean 'history'. there are history, ttl, meta_ttl, recovery,",
        ),
        ({"history": -1}, "history is -1; it must be 0 or more"),
        ({"history": "10"}, "history: Input should be a valid integer, not '10'"),
        ({"presence": 1}, "presence: Input should be a valid boolean, not 1"),
        ({"may_publish": "anyone"}, "may_publish: .*'nobody', 'subscribers', 'users' or 'everyone', not 'anyone'"),
        ({"recovery_mode": "all"}, "recovery_mode: "),
        ({"join_leave": "yes", "delta": None}, "(?s)join_leave: .*; delta: "),
        ({"recovery": "force"}, "recovery and positioning need a history; say history=100"),
        ({"recovery": True}, "need a history"),
        ({"positioning": True}, "need a history"),
    ],
)
def test_a_wrong_rule_is_named_with_what_it_can_be(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        check_rules(given)


# Names


@pytest.mark.parametrize("name", ["a", "chat:lobby", "x" * 10, " ", "a\nb", "$ns:x#1,2"])
def test_a_name_up_to_the_limit_is_one(name: str) -> None:
    check_name(name, 10)


@pytest.mark.parametrize("name", ["", "x" * 11])
def test_a_name_that_is_empty_or_longer_is_none(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_name(name, 10)


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("news", []),
        ("room#42", ["42"]),
        ("room#42,43", ["42", "43"]),
        ("room#", [""]),
        ("#42", ["42"]),
        ("a#b#c", ["c"]),
        ("room#42,", ["42", ""]),
    ],
)
def test_users_behind_the_boundary_are_those_that_a_channel_is_for(name: str, users: list[str]) -> None:
    assert allowed_users(name) == users


# The catalogue


class Declared:
    def __init__(self, pattern: str) -> None:
        self.pattern = Pattern(pattern)


def catalogue(*patterns: str) -> tuple[Catalogue[Declared], list[Declared]]:
    made: Catalogue[Declared] = Catalogue()
    declared = [Declared(pattern) for pattern in patterns]
    for one in declared:
        made.add(one)
    return made, declared


def test_the_first_declaration_that_matches_counts() -> None:
    made, (lobby, room, rest) = catalogue("chat:lobby", "chat:{room}", "{rest:path}")
    for _ in range(2):
        assert made.find("chat:lobby") == (lobby, {})
        assert made.find("chat:garden") == (room, {"room": "garden"})
        assert made.find("chat:a:b") == (rest, {"rest": "chat:a:b"})
    assert list(made) == [lobby, room, rest]


def test_a_channel_that_nothing_is_declared_for_is_unknown() -> None:
    made, _ = catalogue("chat:{room}")
    for name in ("chat", "news", "", "chat:a:b"):
        with pytest.raises(UnknownChannel):
            made.find(name)


def test_a_private_channel_has_the_rules_of_the_public_one() -> None:
    made, (room,) = catalogue("chat:{room}")
    assert made.find("$chat:a") == (room, {"room": "a"})
    with pytest.raises(UnknownChannel):
        made.find("$$chat:a")


def test_what_is_declared_later_is_found_too_and_does_not_take_over() -> None:
    made, (room,) = catalogue("chat:{room}")
    with pytest.raises(UnknownChannel):
        made.find("news")
    assert made.find("chat:a")[0] is room
    news, rest = Declared("news"), Declared("chat:{rest:path}")
    made.add(news)
    made.add(rest)
    assert made.find("news")[0] is news
    assert made.find("chat:a")[0] is room
    assert made.find("chat:a:b")[0] is rest


@pytest.mark.parametrize("later", ["chat:{name}", "chat:a"])
def test_what_could_never_be_found_is_refused(later: str) -> None:
    made, _ = catalogue("chat:{room}")
    with pytest.raises(UsageError, match=r"would never be found behind 'chat:\{room\}': declare it first"):
        made.add(Declared(later))


@pytest.mark.parametrize("pattern", ["a:{1x}", "a:{data}", "a:{self}"])
def test_a_parameter_that_no_argument_can_be_called_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="which no argument can be called"):
        Pattern(pattern)


def test_a_pattern_is_declared_once() -> None:
    made, _ = catalogue("chat:{room}")
    with pytest.raises(
        UsageError, match=r"^channel 'chat:\{room\}' is declared already: keep what hub.channel returned$"
    ):
        made.add(Declared("chat:{room}"))
    assert len(list(made)) == 1


def test_names_that_anybody_may_make_up_do_not_fill_the_memory() -> None:
    made, (room,) = catalogue("chat:{room}")
    most = made._CACHED
    for number in range(2 * most + 5):
        assert made.find(f"chat:{number}") == (room, {"room": f"{number}"})
        assert len(made._found) <= most
    for number in range(10):
        with pytest.raises(UnknownChannel):
            made.find(f"unknown:{number}")
    assert all(name.startswith("chat:") for name in made._found), "what is unknown is not kept at all"


def test_a_name_that_is_much_too_long_is_not_even_looked_at() -> None:
    made, _ = catalogue("{a}-{b}:x")
    with pytest.raises(UnknownChannel):
        made.find("-" * 60_000 + ":")


def test_a_name_outside_ascii_is_found_and_not_kept() -> None:
    made, (room,) = catalogue("{room}")
    assert made.find("rööm")[0] is room
    assert made._found == {}


@pytest.mark.parametrize(
    "text", ["{a:path}-{b:path}:x", "{a:path}:{b:path}:x", "dm:{a}-{b}-{c}", "{a}{b}{c}", "{a:path}:{b}-{c}"]
)
def test_a_pattern_that_takes_long_to_match_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="parameters that may end anywhere"):
        Pattern(text)


def test_a_pattern_may_have_any_number_of_parameters_before_colons_and_one_that_ends_elsewhere() -> None:
    many = Pattern("a:{b}:{c}:{d}-{e}:{f}:{g:path}")
    assert many.match("a:1:2:3-4-5:6:7:8") == {"b": "1", "c": "2", "d": "3-4", "e": "5", "f": "6", "g": "7:8"}
    assert many.match("a:1:2:345:6:7") is None
    assert Pattern("{a:path}-{b}").match("x:-y-z") == {"a": "x:-y", "b": "z"}
    assert Pattern("{a:path}:{b}").match("x:y:z") == {"a": "x:y", "b": "z"}
