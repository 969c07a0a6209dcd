"""The wheel and the source distribution contain what a user needs, and their page needs nothing from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "node_modules", "tests", "benchmarks", "reports", "dist", "__pycache__")
NPM_FILES = ("centrifuge/dist/centrifuge.js", "centrifuge/LICENSE", "events/LICENSE")
IN_WHEEL = ("hubbub/sdk/centrifuge.js", "hubbub/sdk/LICENSE-centrifuge", "hubbub/sdk/LICENSE-events")
BUILD_DEADLINE = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which npm has not run."""
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=LEFT_OUT)
    return tmp_path / "checkout"


def run_npm(checkout: Path) -> None:
    """Puts files where npm would: what is in them does not matter here."""
    for name in NPM_FILES:
        file = checkout / "web" / "node_modules" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {name}")


def build(checkout: Path, target: str, *, require_sdk: bool = False, npm: bool = False) -> tuple[int, str]:
    """Builds as pip does, but with the build packages that are installed here; gives exit code and output."""
    environment = {**os.environ, "REQUIRE_SDK": "1" if require_sdk else ""}
    if not npm:
        environment["PATH"] = ""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    finished = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=BUILD_DEADLINE, check=False
    )
    return finished.returncode, finished.stdout + finished.stderr


def wheel(checkout: Path, **arguments: bool) -> zipfile.ZipFile:
    code, said = build(checkout, "wheel", **arguments)
    assert code == 0, said
    (file,) = (checkout / "dist").glob("*.whl")
    return zipfile.ZipFile(file)


def metadata(built: zipfile.ZipFile) -> Message:
    (name,) = [name for name in built.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(built.read(name))


def test_the_wheel_contains_the_sdk_and_the_licences_of_all_that_is_in_it(checkout: Path) -> None:
    run_npm(checkout)
    with wheel(checkout, require_sdk=True) as built:
        for source, target in zip(NPM_FILES, IN_WHEEL, strict=True):
            assert built.read(target).decode() == f"content of {source}"


def test_the_source_distribution_builds_the_same_wheel_without_npm(checkout: Path, tmp_path: Path) -> None:
    run_npm(checkout)
    with wheel(checkout) as built:
        expected = {name: built.getinfo(name).CRC for name in built.namelist() if not name.endswith("RECORD")}
    code, said = build(checkout, "sdist", require_sdk=True)
    assert code == 0, said
    (file,) = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / file.name.removesuffix(".tar.gz")
    assert {"Makefile", "constraints.txt", "scripts"} <= {path.name for path in unpacked.iterdir()}
    with wheel(unpacked, require_sdk=True) as again:
        assert {name: again.getinfo(name).CRC for name in again.namelist() if not name.endswith("RECORD")} == expected


def test_a_checkout_without_npm_can_be_installed_and_says_what_is_missing(checkout: Path) -> None:
    with wheel(checkout) as built:
        assert not set(IN_WHEEL) & set(built.namelist())
    code, said = build(checkout, "wheel")
    assert code == 0
    assert "see that `npm ci --prefix web` works, and install again" in said


def test_a_checkout_asks_npm_for_the_sdk_where_npm_is(checkout: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    with wheel(checkout, require_sdk=True, npm=True) as built:
        assert b"Centrifuge" in built.read("hubbub/sdk/centrifuge.js")


def test_a_release_without_the_sdk_is_refused(checkout: Path) -> None:
    code, said = build(checkout, "wheel", require_sdk=True)
    assert code != 0
    assert "install Node and npm" in said
    assert "Traceback" not in said


def test_links_and_images_of_the_readme_are_absolute_and_lead_to_files(checkout: Path) -> None:
    with wheel(checkout) as built:
        told = metadata(built)
    (source,) = [url.partition(", ")[2] for url in told.get_all("Project-URL", []) if url.startswith("Source, ")]
    page = str(told.get_payload())
    targets = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", page)
    assert len(targets) > 20
    for image, target in targets:
        if target.startswith(source):
            kind, version, path = target.removeprefix(f"{source}/").split("/", 2)
            assert (kind, version) == ("raw" if image else "blob", f"v{told['Version']}")
            assert (ROOT / path.partition("#")[0]).exists(), target
        else:
            assert re.match(r"https?://|#", target), target


def test_every_file_of_the_package_is_in_the_wheel(checkout: Path) -> None:
    with wheel(checkout) as built:
        names = set(built.namelist())
    for folder, target in ((checkout / "src" / "hubbub", "hubbub"), (checkout / "examples", "hubbub/examples")):
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        assert {f"{target}/{path.as_posix()}" for path in files} <= names
