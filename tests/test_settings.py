"""Settings: from arguments, from the environment, and never wrong without saying where."""

import ast
import inspect
import re
import textwrap
from typing import Any

import pytest
from pydantic import ValidationError

from hubbub import Hub, Settings, UsageError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HUBBUB_{name.upper()}", raising=False)


def test_the_defaults_are_safe() -> None:
    settings = Settings.load()
    assert settings.detection_bound <= 25
    assert settings.history_size == 0
    assert settings.allowed_origins == ()
    assert 0 < settings.message_rate <= 1000
    assert settings.max_inbox_bytes >= settings.max_message_size
    assert settings.max_queued_bytes >= settings.max_message_size
    assert settings.byte_rate * settings.rate_burst >= settings.max_message_size, "one largest message is no flood"


def test_the_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_MESSAGE_RATE", "7.5")
    monkeypatch.setenv("HUBBUB_MAX_CONNECTIONS", "12")
    settings = Settings.load(max_connections=3)
    assert settings.message_rate == 7.5
    assert settings.max_connections == 3


def test_a_hub_takes_them_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_PING_INTERVAL", "3")
    hub = Hub(message_rate=0)
    assert (hub.settings.message_rate, hub.settings.ping_interval) == (0, 3)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().message_rate = 1


WRONG: list[tuple[str, Any]] = [
    ("max_message_size", "0"),
    ("max_channel_length", "2000"),
    ("max_message_size", "64k"),
    ("message_rate", "-1"),
    ("message_rate", "nan"),
    ("message_rate", "inf"),
    ("byte_rate", "inf"),
    ("rate_burst", "0.5"),
    ("max_inbox_messages", "0"),
    ("max_queued_bytes", "1.5"),
    ("max_connections", "-3"),
    ("ping_interval", "0"),
    ("ping_interval", "inf"),
    ("ping_timeout", "nan"),
    ("leave_grace", "-0.1"),
    ("close_timeout", ""),
    ("stop_timeout", "0"),
    ("fan_out_slice", "0"),
    ("history_size", "-1"),
    ("history_ttl", "0"),
    ("allowed_origins", "app.example"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_of_the_environment_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HUBBUB_{name.upper()}", value)
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"wrong settings: HUBBUB_{name.upper()}: ")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", ["-7", "7.5.3", "nan", "ten", "[red]", "https://ok.example, [red]"])
def test_no_error_says_a_value_twice_or_speaks_of_our_code(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HUBBUB_{name.upper()}", value)
    try:
        Settings.load()
    except UsageError as error:
        said = str(error)
        assert said.count(repr(value)) + said.count("'[red]'") * (value != "[red]") == 1, said
        for ours in ("Value error", "unable to", "pattern"):
            assert ours not in said


def test_an_error_names_the_one_origin_that_is_wrong() -> None:
    with pytest.raises(UsageError) as caught:
        Hub(allowed_origins=["https://ok.example", "app.example"])
    assert str(caught.value) == (
        "wrong settings: allowed_origins: 'app.example' is not an origin such as 'https://app.example'"
    )


@pytest.mark.parametrize("url", ["asyncapi", "/", "/a b", "/a//b", "/a\n"])
def test_an_asyncapi_url_that_is_no_path_is_told_with_one_that_is(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Hub(asyncapi_url=url)
    assert str(caught.value) == f"wrong settings: asyncapi_url: {url!r} is not a path such as '/asyncapi'"


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_of_an_argument_is_named_as_it_was_given(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        Hub(**{name: value})
    assert str(caught.value).startswith(f"wrong settings: {name}: ")


@pytest.mark.parametrize(
    ("given", "both"),
    [
        ({"max_message_size": 3 * 1024 * 1024}, ("max_message_size (3145728)", "byte_rate × rate_burst (2097152)")),
        ({"byte_rate": 10_000, "rate_burst": 3}, ("max_message_size (65536)", "byte_rate × rate_burst (30000)")),
        ({"max_inbox_bytes": 1000}, ("max_message_size (65536)", "max_inbox_bytes (1000)")),
        ({"max_answer_bytes": 10**9}, ("max_answer_bytes (1000000000)", "max_queued_bytes_total (268435456)")),
        ({"max_queued_bytes": 10**9}, ("max_queued_bytes (1000000000)", "max_queued_bytes_total (268435456)")),
    ],
)
def test_settings_that_contradict_each_other_are_refused_and_both_are_named(
    given: dict[str, Any], both: tuple[str, str]
) -> None:
    with pytest.raises(UsageError) as caught:
        Hub(**given)
    assert str(caught.value).startswith("settings contradict each other: ")
    for one in both:
        assert one in str(caught.value)


def test_no_rate_contradicts_nothing() -> None:
    Hub(byte_rate=0, max_message_size=4 * 1024 * 1024)


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_MESSAGE_RATE", "fast")
    with pytest.raises(UsageError, match=r"ping_interval: .*; HUBBUB_MESSAGE_RATE: |HUBBUB_MESSAGE_RATE: .*; ping_int"):
        Settings.load(ping_interval=-1)


def test_an_unknown_argument_is_answered_with_what_was_meant_or_else_with_all_there_are() -> None:
    meant = r"^wrong settings: max_conections: there is no such setting; did you mean max_connections\?$"
    with pytest.raises(UsageError, match=meant):
        Hub(max_conections=3)
    names = ", ".join(Settings.model_fields)
    with pytest.raises(UsageError, match=f"^wrong settings: colour: there is no such setting; there are {names}$"):
        Hub(colour="red")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("HUBBUB_MESAGE_RATE", "HUBBUB_MESAGE_RATE is no setting; did you mean HUBBUB_MESSAGE_RATE?"),
        ("HUBBUB_ZZZ", "HUBBUB_ZZZ is no setting"),
    ],
)
def test_a_variable_that_is_no_setting_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HUBBUB_HISTORY_SIZE", "1")
    assert Settings.load().history_size == 1
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", said)]


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://app.example", ("https://app.example",)),
        ("https://app.example,http://localhost:3000", ("https://app.example", "http://localhost:3000")),
        ("https://*.App.Example", ("https://*.app.example",)),
        ("null, file://, FILE://", ("null", "file://", "file://")),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("https://Bücher.example", ("https://xn--bcher-kva.example",)),
        ("https://*.straße.example:8443", ("https://*.xn--strae-oqa.example:8443",)),
        ("https://my_app.example", ("https://my_app.example",)),
        ("https://app.example:443,http://app.example:80", ("https://app.example", "http://app.example")),
        ("https://app.example:80", ("https://app.example:80",)),
        (" https://App.Example/ , http://[::1]:8000 ,", ("https://app.example", "http://[::1]:8000")),
    ],
)
def test_origins_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch, given: str, origins: tuple[str, ...]) -> None:
    monkeypatch.setenv("HUBBUB_ALLOWED_ORIGINS", given)
    assert Settings.load().allowed_origins == origins
    assert Settings.load(allowed_origins=given).allowed_origins == origins


def test_origins_may_be_given_as_a_list() -> None:
    assert Settings.load(allowed_origins=["https://app.example/", "*"]).allowed_origins == ("https://app.example", "*")


@pytest.mark.parametrize(
    "origin",
    [
        "app.example",
        "https://app.example/chat",
        "https://",
        "://",
        "nul",
        "file:",
        "https://\ud83d.example",
        "https://a\u0301\u2028b.example",
        "https//app.example",
        "* *",
        "*.app.example",
        "https://*",
        "https://*.",
        "https://app.*.example",
        "https://*app.example",
        "https://*.*.example",
        "*://app.example",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="is not an origin such as"):
        Settings.load(allowed_origins=[origin])


def test_the_detection_bound_is_interval_timeout_and_a_tick() -> None:
    assert Settings.load(ping_interval=2, ping_timeout=3).detection_bound == 6


def test_every_setting_says_what_it_is() -> None:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(Settings))).body
    assert isinstance(tree, ast.ClassDef)
    described: dict[str, str] = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr), f"{statement.target.id} is followed by no description"
            assert isinstance(following.value, ast.Constant)
            described[statement.target.id] = following.value.value
    assert list(described) == list(Settings.model_fields)
    for name, text in described.items():
        assert re.match(r"[A-Z].*\S", text), name
        assert text.rstrip("`").endswith((".", "any.", "none.")), name
