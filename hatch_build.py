"""Adds the JavaScript SDK, which is not in the repository, to the wheel and to the source distribution."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = Path("web/node_modules")
SDK = PACKAGES / "centrifuge/dist/centrifuge.js"
IN_WHEEL = {
    SDK: "hubbub/sdk/centrifuge.js",
    PACKAGES / "centrifuge/LICENSE": "hubbub/sdk/LICENSE-centrifuge",
    PACKAGES / "events/LICENSE": "hubbub/sdk/LICENSE-events",  # the file contains this package too
}
MISSING = (
    f"{SDK} is missing, so pages of this installation have no JavaScript SDK. To include it, install Node and npm, "
    "see that `npm ci --prefix web` works, and install again."
)


class JavaScriptSdk(BuildHookInterface[Any]):
    """Takes the SDK from where npm or a source distribution has put it, and asks npm for it where it is not there.

    Where there is no npm, the build goes on with a warning, since `pip install .` must work there too. With the
    environment variable ``REQUIRE_SDK``, which ``scripts/build`` sets, the build fails.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # it finds the file in the checkout
            return
        if not (Path(self.root) / SDK).is_file() and (npm := shutil.which("npm")):
            subprocess.run(  # noqa: S603 - npm itself, with nothing of anybody in its arguments
                [npm, "ci", "--prefix", "web", "--loglevel=error"], cwd=self.root, check=False
            )
        if not (Path(self.root) / SDK).is_file():
            if os.environ.get("REQUIRE_SDK"):
                raise SystemExit(MISSING)
            self.app.display_warning(MISSING)
            return
        for source, target in IN_WHEEL.items():
            path = str(Path(self.root) / source)
            build_data["force_include"][path] = target if self.target_name == "wheel" else str(source)
