"""With NO_SKIP=1 a skipped test is a failed one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

OPTIONS = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull)

SKIPPED_TEST = "import pytest\n\n\ndef test_something():\n    pytest.skip('no browser here')\n"
SKIPPED_MODULE = "import pytest\n\npytest.skip('no browser here', allow_module_level=True)\n"
EXPECTED_FAILURE = "import pytest\n\n\n@pytest.mark.xfail\ndef test_something():\n    assert False\n"


@pytest.mark.parametrize(
    ("source", "no_skip", "code"),
    [(SKIPPED_TEST, "1", 1), (SKIPPED_MODULE, "1", 2), (SKIPPED_TEST, "", 0), (EXPECTED_FAILURE, "1", 0)],
    ids=["test", "module", "allowed", "xfail"],
)
def test_a_skip_fails_where_none_is_wanted(tmp_path: Path, source: str, no_skip: str, code: int) -> None:
    (tmp_path / "test_it.py").write_text(source)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "NO_SKIP": no_skip, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == code, finished.stdout + finished.stderr
    if code:
        assert "NO_SKIP=1 is set" in finished.stdout
        assert "no browser here" in finished.stdout
