"""The reports of test runners are read as they are meant: what did not end, or did not even load, has failed."""

import json
from pathlib import Path

from .results import FAILED, PASSED, SKIPPED, Outcome, Run, page, read_jest, read_junit, read_unittest


def test_a_unittest_that_never_ended_has_failed(tmp_path: Path) -> None:
    lines = [
        {"test": "tests.test_a.A.test_one", "result": "started", "said": ""},
        {"test": "tests.test_a.A.test_one", "result": "passed", "said": ""},
        {"test": "tests.test_a.A.test_two", "result": "started", "said": ""},
        {"test": "tests.test_a.A.test_two", "result": "skipped", "said": "no socks\nhere"},
        {"test": "tests.test_a.A.test_three", "result": "started", "said": ""},
    ]
    report = tmp_path / "report.jsonl"
    report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_unittest(report) == [
        Outcome("test_a.A.test_one", PASSED),
        Outcome("test_a.A.test_two", SKIPPED, "no socks"),
        Outcome("test_a.A.test_three", FAILED, "it did not end"),
    ]


def test_a_jest_file_that_does_not_load_is_a_failure(tmp_path: Path) -> None:
    case = {"fullName": "connects", "status": "passed", "failureMessages": []}
    left_out = {"fullName": "debounces", "status": "pending", "failureMessages": []}
    failed = {"fullName": "recovers", "status": "failed", "failureMessages": ["Error: timeout\n  at x.ts"]}
    files = [
        {"name": "src/a.test.ts", "status": "failed", "message": "", "assertionResults": [case, left_out, failed]},
        {"name": "src/b.test.ts", "status": "failed", "message": "\ncannot find ws", "assertionResults": []},
    ]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"testResults": files}))
    assert read_jest(report) == [
        Outcome("a.test.ts: connects", PASSED),
        Outcome("a.test.ts: debounces", SKIPPED),
        Outcome("a.test.ts: recovers", FAILED, "Error: timeout"),
        Outcome("b.test.ts", FAILED, "cannot find ws"),
    ]


def test_an_error_in_a_fixture_is_a_failure(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.test_a" name="one"/>'
        '<testcase classname="tests.test_a" name="two"><error message="refused">…</error></testcase>'
        "</testsuite></testsuites>"
    )
    assert read_junit(report) == [Outcome("test_a::one", PASSED), Outcome("test_a::two", FAILED, "refused")]


def test_the_page_lists_all_that_did_not_pass() -> None:
    good = Run("cent", "5.2.0", "pytest", [Outcome("one", PASSED)])
    bad = Run("js", "5.7.1", "jest", [Outcome("one", PASSED), Outcome("a|b", FAILED, "expected <1>")])
    empty = Run("js", "5.7.1", "jest", [])
    assert [run.good for run in (good, bad, empty)] == [True, False, False]
    assert "| cent | 5.2.0 | pytest | 1 | 1 | 0 | 0 |" in page([good])
    assert page([good]).endswith("All tests pass; none is left out.")
    assert page([good, bad]).endswith("| js | a\\|b | failed | expected &lt;1> |")
