"""What a figure is worth without: the machine and the versions it was measured on."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def facts(*packages: str) -> str:
    """One line about this machine and the versions of what was measured."""
    cpu = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    software = ", ".join(f"{package} {version(package)}" for package in packages)
    python = ".".join(map(str, sys.version_info[:3]))
    machine = f"{os.cpu_count()} × {cpu}, load average {os.getloadavg()[1]:.1f}"
    return f"{machine}, {platform.system()} {platform.release()}, Python {python}, {software}"


def write_between_marks(page: str, mark: str, text: str) -> None:
    """Replaces what stands between ``<!-- mark -->`` and ``<!-- end of mark -->`` in a page."""
    path = ROOT / "docs" / page
    head, _, rest = path.read_text().partition(f"<!-- {mark} -->")
    _, _, tail = rest.partition(f"<!-- end of {mark} -->")
    path.write_text(f"{head}<!-- {mark} -->\n\n{text}\n\n<!-- end of {mark} -->{tail}")
