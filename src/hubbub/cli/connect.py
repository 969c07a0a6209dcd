"""An interactive WebSocket client for the terminal."""

import asyncio
import io
import json
import re
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from hubbub.cli.output import printable, say_error
from hubbub.cli.peer import open_url, refused, unreachable
from hubbub.errors import UsageError

__all__ = ["Session", "open_url", "with_bearer"]

_QUIET_CODES = (1000, 1001, 1005)
_LINES_AHEAD = 1000
"""How many lines are read before they are sent: a file or a pipe waits for a server that is slow."""
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can be in the header (RFC 6750 §2.1). Any JWT can."""


def with_bearer(headers: list[str], token: str | None) -> list[str]:
    """The headers, with the token in one more; unless ``Authorization`` is given, or no header can hold the token."""
    given = any(line.partition(":")[0].strip().lower() == "authorization" for line in headers)
    if given or token is None or not _BEARER_TOKEN.fullmatch(token):
        return headers
    return [*headers, f"Authorization: Bearer {token}"]


@dataclass
class Session:
    """One conversation: from the opening to the goodbye."""

    url: str
    json: bool
    headers: list[str]
    subprotocols: list[str]
    wait: float
    console: Console
    _heard: int = 0
    _ours: bool = False

    async def run(self) -> int:
        """Talks until one side closes; returns the exit code: 0 for a normal end."""
        try:
            websocket = await connect(
                self.url,
                additional_headers=[self._header(line) for line in self.headers],
                subprotocols=self.subprotocols or None,  # type: ignore[arg-type]
                max_size=None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            hints = {
                403: "unknown path, wrong or missing token, or foreign origin",
                404: "no such path",
                503: "the server is full or stops",
                **({status: "this is no WebSocket endpoint"} if status < 400 or status in (405, 426) else {}),
            }
            say_error(refused(self.url, status, hints), "red")
            return 1
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            say_error(unreachable(self.url, error), "red")
            return 1
        spoken = f", speaking {websocket.subprotocol}" if websocket.subprotocol else ""
        self._say(f"connected{spoken}; Ctrl-D closes", "green")
        return await self._talk(websocket)

    async def _talk(self, websocket: ClientConnection) -> int:
        sending = asyncio.create_task(self._send(websocket))
        try:
            async for message in websocket:
                self._show(message)
        except ConnectionClosed:
            pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending
        code, reason = websocket.close_code, websocket.close_reason
        normal = self._ours or code in _QUIET_CODES
        self._say(f"closed: {code}{f' {reason}' if reason else ''}", "yellow" if normal else "red")
        return 0 if normal else 1

    async def _send(self, websocket: ClientConnection) -> None:
        """Sends lines until there are no more, then closes."""
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        ahead = threading.Semaphore(_LINES_AHEAD)
        # A daemon thread: a read of the terminal cannot be cancelled, and must not hold up the exit.
        threading.Thread(target=_read_lines, args=(asyncio.get_running_loop(), lines, ahead), daemon=True).start()
        while (line := await lines.get()) is not None:
            ahead.release()
            try:
                line.encode()
            except UnicodeEncodeError:
                self._say("not sent, this is not UTF-8", "red")
                continue
            if self.json:
                try:
                    json.loads(line)
                except ValueError as error:
                    self._say(f"not sent, this is not JSON: {error}", "red")
                    continue
            await websocket.send(line)
        if not sys.stdin.isatty():
            await self._silence()
        self._ours = True
        await websocket.close()

    async def _silence(self) -> None:
        """Waits until nothing has come for ``wait`` seconds."""
        heard = None
        while heard != self._heard:
            heard = self._heard
            await asyncio.sleep(self.wait)

    def _show(self, message: str | bytes) -> None:
        self._heard += 1
        if isinstance(message, bytes):
            self._say(f"{len(message)} bytes: {message[:64].hex(' ')}{' …' if len(message) > 64 else ''}", "magenta")
            return
        if self.json:
            try:
                plain = json.dumps(json.loads(message), ensure_ascii=False)
                self.console.print_json(message, ensure_ascii=printable(plain) != plain)
                return
            except ValueError:
                pass
        self.console.print(f"[cyan]<[/] {escape(printable(message))}", soft_wrap=True)

    def _say(self, text: str, colour: str) -> None:
        self.console.print(f"[{colour}]{escape(printable(text))}[/]", soft_wrap=True)

    def _header(self, line: str) -> tuple[str, str]:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"{line!r} is no header: write it as 'Name: value'")
        return name.strip(), value.strip()


def _read_lines(
    loop: asyncio.AbstractEventLoop, lines: "asyncio.Queue[str | None]", ahead: threading.Semaphore
) -> None:
    """Puts what is typed into the queue, then None; ends early when the conversation does."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # As it is already in the C locale: a line that is not UTF-8 is one line, not the end of all.
        sys.stdin.reconfigure(errors="surrogateescape")
    try:
        for line in sys.stdin:
            ahead.acquire()
            loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
        loop.call_soon_threadsafe(lines.put_nowait, None)
    except RuntimeError:
        if not loop.is_closed():
            raise
