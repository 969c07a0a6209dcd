"""For all tests: travelling time, and no skip where none is wanted."""

import os
from collections.abc import Generator, Iterator

import hypothesis
import pytest
from tests.clock import Clock

# How long an example takes says something of the machine. Slow code shows in the benchmarks.
SLOW = hypothesis.HealthCheck.too_slow
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=[SLOW])
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def clock() -> Iterator[Clock]:
    """An event loop on which time travels: ``clock.run(coroutine)``."""
    with Clock() as clock:
        yield clock


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With NO_SKIP=1 a test that is skipped has failed: what is not run is not known to work."""
    if os.environ.get("NO_SKIP") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and NO_SKIP=1 is set: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report
