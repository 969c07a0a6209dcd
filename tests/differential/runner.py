"""Plays a scenario against a server, and returns what was seen at every step.

After every step a barrier is put on each connection that can send: a call that every server answers, and in order.
What came before its answer belongs to the step. Nothing sleeps; what no barrier can order is awaited by count.
"""

import asyncio
import re
import time

import httpx

from .backend import EMPTY, PollBackend
from .connections import BARRIER_COMMAND, Answer, Connection, answer, make
from .scenario import After, AwaitBackend, AwaitPing, Backend, Close, Http, Lapse, Open, Scenario, Send, Step
from .tokens import sign

VARIABLE = re.compile(r"\$\{([^}]+)\}")
EPOCH = re.compile(r'"epoch":"([^"]+)"')
Seen = dict[str, object]
"""What one step showed: `messages`, `closed`, `opened` by connection; `http`; `backend`; `late`, what never came."""


class PlayBroken(Exception):
    """The server could not be spoken to."""


class Play:
    """One scenario while it is played."""

    def __init__(self, scenario: Scenario, base: str, client: httpx.AsyncClient, backend: PollBackend) -> None:
        self.scenario = scenario
        self.base = base
        self.client = client
        self.backend = backend
        self.connections: dict[str, Connection] = {}
        self.told: set[str] = set()
        self.api_epoch = ""
        self.patience = 1.0
        now = int(time.time())
        self.tokens = {name: sign(_resolved(claims, now)) for name, claims in scenario.tokens.items()}

    async def run(self) -> list[Seen]:
        self.backend.body = EMPTY
        try:
            return [await self._step(step) for step in self.scenario.steps]
        except (OSError, httpx.HTTPError) as broken:
            raise PlayBroken(f"{self.scenario.name}: {broken!r}") from broken
        finally:
            for connection in self.connections.values():
                await connection.close()

    async def _step(self, step: Step) -> Seen:
        seen: Seen = {}
        await self._act(step, seen)
        late = [*await self._await(step), *await self._bar(step)]
        for name, connection in self.connections.items():
            self._tell(seen, name, connection)
        if late:
            seen["late"] = sorted(late)
            self.patience = 0.2
        return seen

    async def _act(self, step: Step, seen: Seen) -> None:
        if isinstance(step, Open):
            await self._open(step)
        elif isinstance(step, Send):
            connection = self.connections[step.name]
            self._keep(seen, await connection.send(self._filled(step.frame), as_text=step.as_text))
        elif isinstance(step, Http):
            headers = {"Content-Type": "application/json", **step.headers}
            body = self._filled(step.body)
            path = str(self._filled(step.path))
            response = await self.client.request(step.method, self.base + path, content=body, headers=headers)
            self._keep(seen, answer(response, response.text))
        elif isinstance(step, Close):
            await self.connections[step.name].close()
        elif isinstance(step, Lapse):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Backend):
            self.backend.body = step.body
        elif isinstance(step, AwaitBackend):
            seen["backend"] = await self.backend.request(step.text, step.within * self.patience)

    async def _open(self, step: Open) -> None:
        body = self._filled(step.body)
        opened = make(Open(**{**vars(step), "body": body}), self.base, self.client)
        self.connections[step.name] = opened
        await opened.open()

    def _keep(self, seen: Seen, answered: Answer | None) -> None:
        if answered is not None:
            seen["http"] = answered
            for epoch in EPOCH.findall(str(answered["body"])):
                self.api_epoch = epoch

    async def _await(self, step: Step) -> list[str]:
        """Waits as the step says; a frame is awaited an answer or the end, since a close may come after the barrier."""
        deadline = asyncio.get_running_loop().time() + step.within * self.patience
        wanted = dict(step.wait)
        if isinstance(step, Open | Send) and self._speaks(step):
            wanted.setdefault(step.name, 1)
        late = []
        for name, count in wanted.items():
            connection = self.connections[name]
            if not await connection.until(lambda c=connection, n=count: len(c.messages) >= n, deadline):
                late.append(f"{name}: {len(connection.messages)} of {count} messages")
        ending = [name for name, connection in self.connections.items() if connection.told_to_go]
        for name in dict.fromkeys([*step.await_close, *ending]):
            if not await self.connections[name].until(lambda: False, deadline):
                late.append(f"{name}: its end")
        if isinstance(step, AwaitPing):
            connection = self.connections[step.name]
            connection.pings_awaited += 1
            if not await connection.until(lambda: connection.pings >= connection.pings_awaited, deadline):
                late.append(f"{step.name}: a ping")
        return late

    def _speaks(self, step: Send | Open) -> bool:
        connection = self.connections[step.name]
        if isinstance(step, Send):
            pong_or_ended = step.frame == "{}" or connection.closed is not None
            return not pong_or_ended and not step.await_close and connection.step.transport != "uni_ws"
        return step.transport != "ws" and bool(step.transport != "uni_ws" or step.body)

    async def _bar(self, step: Step) -> list[str]:
        late = []
        for name, connection in self.connections.items():
            if not connection.barred or name in step.await_close:
                continue
            before = connection.barriers
            await connection.send(BARRIER_COMMAND)
            deadline = asyncio.get_running_loop().time() + step.within * self.patience
            if not await connection.until(lambda c=connection, n=before: c.barriers > n, deadline):
                late.append(f"{name}: the answer to the barrier")
        return late

    def _tell(self, seen: Seen, name: str, connection: Connection) -> None:
        if connection.opened and f"{name} opened" not in self.told:
            self.told.add(f"{name} opened")
            seen.setdefault("opened", {})[name] = connection.opened  # type: ignore[attr-defined]
        if connection.messages:
            seen.setdefault("messages", {})[name] = connection.messages  # type: ignore[attr-defined]
            connection.messages = []
        if connection.closed is not None and f"{name} closed" not in self.told:
            self.told.add(f"{name} closed")
            seen.setdefault("closed", {})[name] = connection.closed  # type: ignore[attr-defined]

    def _filled(self, text: str | bytes) -> str | bytes:
        return text if isinstance(text, bytes) else VARIABLE.sub(self._variable, text)

    def _variable(self, found: re.Match[str]) -> str:
        name = found.group(1)
        if name.startswith("now"):
            return str(int(time.time()) + int(name[3:] or "0"))
        owner, _, fact = name.partition(".")
        if owner == "token":
            return self.tokens[fact]
        if owner == "api":
            return self.api_epoch
        return self.connections[owner].facts.get(fact, f"no-{fact}")


def _resolved(claims: object, now: int) -> dict[str, object]:
    assert hasattr(claims, "items")
    return {key: now + value.seconds if isinstance(value, After) else value for key, value in claims.items()}


async def play(scenario: Scenario, base: str, backend: PollBackend) -> list[Seen]:
    """What the server showed at each step of the scenario."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return await Play(scenario, base, client, backend).run()
