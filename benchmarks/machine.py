"""The machine: what it is, what may be used of it, and what else it was doing."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("hubbub", "fastapi", "starlette", "uvicorn", "httptools", "uvloop", "websockets", "granian", "picows"),
    *("python-socketio", "python-engineio", "socketify"),
)
TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int] | None:
    """One core for the server, one for the load; None where there are not two to choose from."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def raise_file_limit() -> int:
    """Allows as many open files as this user may have; children inherit it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def busy_seconds(core: int) -> float:
    """Seconds this core was not idle since it started, time stolen by a hypervisor included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS
    raise LookupError(f"/proc/stat does not list core {core}")


def facts() -> dict[str, object]:
    """What a reader must know of the machine to judge the figures."""
    pinned = cores()
    return {
        "cpu": _value("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "pinning": f"server on core {pinned[0]}, load generator on core {pinned[1]}" if pinned else "none: one core",
        "memory": f"{int(_value('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "virtual": "hypervisor" in _value("/proc/cpuinfo", "flags").split(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[
            0
        ],
        "load average at the start": os.getloadavg()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _value(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
