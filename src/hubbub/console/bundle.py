"""Where the Centrifuge SDK for web pages is: one file, from its npm package."""

from pathlib import Path

PACKAGES = Path(__file__).parents[3] / "web" / "node_modules"
"""The npm packages of a checkout, once ``make`` has installed them."""


def browser_sdk(*, protobuf: bool = False) -> Path | None:
    """The file that defines ``Centrifuge`` on a page; None where the npm package is not installed."""
    file = PACKAGES / "centrifuge" / "dist" / ("centrifuge.protobuf.js" if protobuf else "centrifuge.js")
    return file if file.is_file() else None
