"""Runs the Autobahn testsuite against the fast path and writes the table of its results into the docs."""

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / "reports" / "autobahn"
PAGE = ROOT / "docs" / "reference" / "autobahn.md"
PORT = 9009
SECTIONS = {
    "1": "Framing", "2": "Pings and pongs", "3": "Reserved bits", "4": "Opcodes", "5": "Fragmentation",
    "6": "UTF-8 handling", "7": "Close handling", "9": "Limits and performance", "10": "Auto-fragmentation",
    "12": "Compression, different payloads", "13": "Compression, different parameters",
}  # fmt: skip


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes every message; answers HTTP so that the start can be seen."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ready"})
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def start_server() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "autobahn:app", "--ws", "hubbub.wire:Protocol", "--loop", "uvloop"]
    options = ["--port", str(PORT), "--lifespan", "off", "--ws-max-size", str(32 * 1024 * 1024)]
    server = subprocess.Popen([*command, *options, "--log-level", "warning"], cwd=Path(__file__).parent)
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=1).close()
            return server
        except OSError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise
            time.sleep(0.1)


def run_suite(python27: str, packages: str, cases: list[str]) -> dict[str, dict[str, str]]:
    REPORTS.mkdir(parents=True, exist_ok=True)
    spec = {
        "outdir": str(REPORTS), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {},
        "servers": [{"agent": "hubbub", "url": f"ws://127.0.0.1:{PORT}", "options": {"version": 18}}],
    }  # fmt: skip
    (REPORTS / "spec.json").write_text(json.dumps(spec))
    # Not PYTHONPATH: the namespace package zope is made by a .pth file.
    start = f"import site; site.addsitedir({str(ROOT / packages)!r}); from autobahntestsuite.wstest import run; run()"
    command = [python27, "-c", start, "-m", "fuzzingclient", "-s", str(REPORTS / "spec.json")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    results: dict[str, dict[str, str]] = json.loads((REPORTS / "index.json").read_text())["hubbub"]
    return results


def table(results: dict[str, dict[str, str]]) -> str:
    sections: dict[str, Counter[str]] = {}
    for case, result in results.items():
        outcome = result["behavior"] if result["behavior"] != "OK" else result["behaviorClose"]
        sections.setdefault(case.split(".")[0], Counter())[outcome] += 1
    lines = ["| section | cases | OK | informational | non-strict | failed | other |", "|---|---|---|---|---|---|---|"]
    for section, counts in sorted(sections.items(), key=lambda item: int(item[0])):
        known = [counts[name] for name in ("OK", "INFORMATIONAL", "NON-STRICT", "FAILED")]
        cells = [counts.total(), *known, counts.total() - sum(known)]
        lines.append(f"| {section} {SECTIONS.get(section, '')} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> int:
    python27, packages, *cases = sys.argv[1:]
    server = start_server()
    try:
        results = run_suite(python27, packages, cases or ["*"])
    finally:
        server.terminate()
        server.wait(20)
    bad = {case: r for case, r in results.items() if {r["behavior"], r["behaviorClose"]} & {"FAILED", "NON-STRICT"}}
    text = table(results)
    print(text)
    for case, result in sorted(bad.items()):
        print(f"{case}: {result['behavior']}, close {result['behaviorClose']}")
    if not cases:
        head = PAGE.read_text().split("<!-- results -->")[0] if PAGE.exists() else "# Autobahn testsuite\n\n"
        PAGE.write_text(f"{head}<!-- results -->\n\n{text}\n")
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or not results else 0


if __name__ == "__main__":
    raise SystemExit(main())
