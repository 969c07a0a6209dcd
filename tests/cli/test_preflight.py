"""What is checked before a server starts."""

import logging
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbub import Hub, Settings, UsageError
from hubbub.cli.preflight import (
    SPARE_DESCRIPTORS,
    ensure_descriptors,
    ensure_importable,
    ensure_one_hub_process,
    ensure_port_free,
)

# The target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules in it, which is the one to import from."""
    before = set(sys.modules)
    (tmp_path / "hubbub_test_main.py").write_text("app = other = print\nfrom hubbub import Hub\nhub = Hub()\n")
    (tmp_path / "hubbub_test_broken.py").write_text("import hubbub_test_missing\n")
    (tmp_path / "hubbub_test_wrong.py").write_text("from hubbub import Hub\nhub = Hub('redis://localhost')\n")
    (tmp_path / "hubbub_test_package").mkdir()
    (tmp_path / "hubbub_test_package" / "api.py").write_text("class Factory:\n    app = print\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("hubbub_test_main:other", "hubbub_test_main:other"),
        ("hubbub_test_main", "hubbub_test_main:app"),
        ("hubbub_test_main:", "hubbub_test_main:app"),
        ("hubbub_test_main.py", "hubbub_test_main:app"),
        ("./hubbub_test_main.py:other", "hubbub_test_main:other"),
        ("hubbub_test_package.api:Factory.app", "hubbub_test_package.api:Factory.app"),
        ("hubbub_test_package/api.py:Factory", "hubbub_test_package.api:Factory"),
    ],
)
def test_a_target_is_a_module_with_or_without_its_app_or_a_file(target: str, found: str, *, load: bool) -> None:
    assert ensure_importable(target, load=load) == found
    assert ("hubbub_test_main" in sys.modules or "hubbub_test_package.api" in sys.modules) is load


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize("target", ["nowhere:app", "nowhere.deep:app", "nowhere.py", "", ":app", "hubbub_test_main.x"])
def test_a_module_that_is_not_there_is_named_with_the_place_that_was_looked_in(
    folder: Path, target: str, *, load: bool
) -> None:
    with pytest.raises(UsageError, match=f"^there is no module '.*' here \\({folder}\\): give MODULE:APP"):
        ensure_importable(target, load=load)


@pytest.mark.usefixtures("folder")
def test_an_attribute_that_is_not_there_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"^module 'hubbub_test_main' has no 'aap': name the app, hubbub_test_main:NAME"
    ):
        ensure_importable("hubbub_test_main:aap", load=True)


@pytest.mark.usefixtures("folder")
def test_a_hub_that_is_named_in_place_of_its_app_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^hubbub_test_main:hub is a Hub, not an app: name the FastAPI app"):
        ensure_importable("hubbub_test_main:hub", load=True)


@pytest.mark.usefixtures("folder")
def test_a_module_that_does_not_import_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match=r"^'hubbub_test_broken' cannot be imported: No module named 'hubbub_test_mis"):
        ensure_importable("hubbub_test_broken", load=True)
    assert ensure_importable("hubbub_test_broken", load=False) == "hubbub_test_broken:app"


@pytest.mark.usefixtures("folder")
def test_a_wrong_use_inside_the_module_is_told_in_its_own_words() -> None:
    with pytest.raises(UsageError, match=r"^no broker for 'redis://localhost'"):
        ensure_importable("hubbub_test_wrong", load=True)


# The workers


def test_several_workers_are_refused_where_a_hub_of_one_process_is() -> None:
    hub = Hub()
    with pytest.raises(UsageError, match=r"^3 workers with the memory:// broker would be 3 separate hubs"):
        ensure_one_hub_process(3)
    assert hub.one_process


# The port


def test_a_free_port_is_free() -> None:
    ensure_port_free("127.0.0.1", 0)
    ensure_port_free("localhost", 0)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_port_that_is_taken_is_named(host: str, family: socket.AddressFamily) -> None:
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"^port {port} on {host} is taken: .*--port$"):
            ensure_port_free(host, port)
    ensure_port_free(host, port)


def test_a_port_that_was_just_closed_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            connection, _ = server.accept()
            connection.close()  # the first to close: its end of the connection is remembered for a while
            assert client.recv(1) == b""
    ensure_port_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(UsageError, match=f"^cannot listen on {host}:8000: "):
        ensure_port_free(host, 8000)


def test_a_port_that_needs_more_rights_says_which_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unprivileged(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Unprivileged)
    with pytest.raises(UsageError, match=r"^port 80 needs more rights: choose one from 1024 with --port$"):
        ensure_port_free("127.0.0.1", 80)


# The file descriptors


class Limits:
    """The limit of this process, as far as the kernel lets it be raised."""

    def __init__(self, soft: int, hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = (soft, hard)
        monkeypatch.setattr(resource, "getrlimit", lambda which: self.now)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        assert limits[1] == self.now[1], "the hard limit is not ours to change"
        self.now = limits


NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (1024, 524288, 1000 + SPARE_DESCRIPTORS),
        (1024, NO_LIMIT, 1000 + SPARE_DESCRIPTORS),
        (256, 1000 + SPARE_DESCRIPTORS, 1000 + SPARE_DESCRIPTORS),
        (100_000, 524288, 100_000),
        (NO_LIMIT, NO_LIMIT, NO_LIMIT),
    ],
)
def test_the_limit_is_raised_as_far_as_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, soft: int, hard: int, after: int
) -> None:
    limits = Limits(soft, hard, monkeypatch)
    ensure_descriptors(Settings(max_connections=1000))
    assert limits.now == (after, hard)
    assert caplog.records == []


def test_connections_that_were_asked_for_and_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(256, 1024, monkeypatch)
    with pytest.raises(UsageError) as caught:
        ensure_descriptors(Settings(max_connections=5000))
    assert str(caught.value) == (
        "1024 file descriptors (ulimit -n) are not enough for 5000 connections: raise the limit to 5064, or set "
        "HUBBUB_MAX_CONNECTIONS to 960 or less"
    )
    assert limits.now == (1024, 1024), "what can be had is had"
    Limits(256, 1024, monkeypatch)
    ensure_descriptors(Settings(max_connections=960))


def test_connections_that_nobody_asked_for_and_do_not_fit_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HUBBUB_MAX_CONNECTIONS", raising=False)
    Limits(256, 1024, monkeypatch)
    with caplog.at_level(logging.WARNING, "hubbub"):
        ensure_descriptors(Settings())
    assert "1024 file descriptors (ulimit -n) are not enough for 10000 connections" in caplog.text


def test_the_remedy_is_never_no_connections_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Limits(32, 32, monkeypatch)
    with pytest.raises(UsageError, match=r"HUBBUB_MAX_CONNECTIONS to 1 or less$"):
        ensure_descriptors(Settings(max_connections=10))
