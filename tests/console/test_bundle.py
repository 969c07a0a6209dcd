"""The SDK for pages is found where npm puts it."""

from pathlib import Path

import pytest

from hubbub.console import bundle


@pytest.mark.parametrize(("protobuf", "name"), [(False, "centrifuge.js"), (True, "centrifuge.protobuf.js")])
def test_the_sdk_is_found_once_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protobuf: bool, name: str
) -> None:
    monkeypatch.setattr(bundle, "PACKAGES", tmp_path)
    assert bundle.browser_sdk(protobuf=protobuf) is None
    file = tmp_path / "centrifuge" / "dist" / name
    file.parent.mkdir(parents=True)
    file.write_text("…")
    assert bundle.browser_sdk(protobuf=protobuf) == file


def test_the_packages_are_those_of_the_checkout() -> None:
    assert (bundle.PACKAGES.parent / "package.json").is_file()
