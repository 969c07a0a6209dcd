"""What is relied on past public APIs is tried at the start; what does not hold is said, and the rest works."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.processes import Process, environment
from websockets.sync.client import connect

from hubbub.canaries import ensure, fault_of
from hubbub.hub.canary import resolver
from hubbub.transports.canary import fast_path
from hubbub.transports.door_canary import router_dependencies

DEADLINE = 30.0
HUB = """
from typing import Annotated
from fastapi import FastAPI, Header, WebSocket
from hubbub import Hub, UsageError

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

@app.websocket("/ws")
async def echo(websocket: WebSocket, number: Annotated[int, Header()]):
    async with hub.connect(websocket) as client:
        await client.send("fast" if "hubbub.wire" in websocket.scope["extensions"] else "plain")
        async for text in client:
            await client.send(text)
"""
HANDLERS = """
@hub.rpc("without")
async def without(text: dict): ...

try:
    @hub.rpc("with")
    async def of_connection(number: Annotated[int, Header()]): ...
except UsageError as error:
    print(error)
else:
    print("taken")
"""
# As a later version might have it; each is done before anything of hubbub is imported.
UVICORN_CHANGES = {
    "a class has moved": (
        "import uvicorn.protocols.http.auto, uvicorn.protocols.http.httptools_impl as impl\n"
        "del impl.HttpToolsProtocol\n"
    ),
    "protocols are made in another way": (
        "import uvicorn.protocols.http.auto, uvicorn.protocols.http.httptools_impl as impl\n"
        "class Changed(impl.HttpToolsProtocol):\n"
        "    def __init__(self, *, config, server_state, app_state):\n"
        "        super().__init__(config, server_state, app_state)\n"
        "        made = self.ws_protocol_class\n"
        "        self.ws_protocol_class = lambda **given: made(**given, app=config.loaded_app)\n"
        "impl.HttpToolsProtocol = Changed\n"
    ),
    "a connection is handed over in another way": (
        "import uvicorn.protocols.http.auto, uvicorn.protocols.http.httptools_impl as impl\n"
        "class Changed(impl.HttpToolsProtocol):\n"
        "    def __init__(self, *, config, server_state, app_state):\n"
        "        super().__init__(config, server_state, app_state)\n"
        "        made = self.ws_protocol_class\n"
        "        def make(**given):\n"
        "            protocol = made(**given)\n"
        "            protocol.data_received = lambda data: None\n"
        "            return protocol\n"
        "        self.ws_protocol_class = make\n"
        "impl.HttpToolsProtocol = Changed\n"
    ),
}
FASTAPI_CHANGES = {
    "a function has moved": "import fastapi.dependencies.utils as utils\ndel utils.solve_dependencies",
    "a module has moved": "import fastapi, sys; sys.modules['fastapi.dependencies.utils'] = None",
    "a parameter has another name": (
        "import fastapi.dependencies.utils as utils\n"
        "was = utils.solve_dependencies\n"
        "def solve_dependencies(*, connection, dependant, async_exit_stack, embed_body_fields): ...\n"
        "utils.solve_dependencies = solve_dependencies\n"
    ),
    "what is to be closed is elsewhere": (
        "import contextlib, fastapi.dependencies.utils as utils\n"
        "was = utils.solve_dependencies\n"
        "async def solve_dependencies(*, request, **more):\n"
        "    stack = contextlib.AsyncExitStack()\n"
        "    request.scope['fastapi_inner_astack'] = request.scope['fastapi_function_astack'] = stack\n"
        "    return await was(request=request, **more)\n"
        "utils.solve_dependencies = solve_dependencies\n"
    ),
}
ROUTERS = """
from hubbub import Hub, UsageError

for name in ("router", "api"):
    try:
        getattr(Hub(), name)
    except UsageError as error:
        print(error)
    else:
        print("taken")
"""
INCLUSION_CHANGES = {
    "routes of WebSockets are made in another way": (
        "import fastapi.routing as routing\n"
        "was = routing.APIWebSocketRoute.__init__\n"
        "def init(self, path, endpoint, **given):\n"
        "    given.pop('dependencies', None)\n"
        "    was(self, path, endpoint, **given)\n"
        "routing.APIWebSocketRoute.__init__ = init\n"
    ),
    "an inclusion does not say what it adds": (
        "from fastapi import FastAPI\n"
        "was = FastAPI.include_router\n"
        "def include_router(self, router, **given):\n"
        "    given.pop('dependencies', None)\n"
        "    was(self, router, **given)\n"
        "FastAPI.include_router = include_router\n"
    ),
}


def test_the_fast_path_fits_this_uvicorn() -> None:
    assert fault_of(fast_path) == ""


def test_dependencies_of_handlers_work_with_this_fastapi() -> None:
    assert fault_of(resolver) == ""


def test_dependencies_of_routers_run_with_this_fastapi() -> None:
    assert fault_of(router_dependencies) == ""


def test_a_canary_that_does_not_pass_says_why() -> None:
    async def silent() -> None:
        raise KeyError

    async def missing() -> None:
        ensure(False, "the door is open")

    assert fault_of(silent) == "KeyError"
    assert fault_of(missing) == "LookupError: the door is open"


@pytest.mark.parametrize("change", UVICORN_CHANGES.values(), ids=UVICORN_CHANGES)
@pytest.mark.parametrize("how", ["hubbub run", "uvicorn --ws"])
def test_a_uvicorn_that_the_fast_path_does_not_fit_serves_without_it(tmp_path: Path, how: str, change: str) -> None:
    (tmp_path / "main.py").write_text(HUB)
    start = {
        "hubbub run": "sys.argv[:] = ['hubbub', 'run', 'main:app', '--port', '0']; from hubbub.cli import main; main()",
        "uvicorn --ws": "import uvicorn; uvicorn.run('main:app', port=0, ws='hubbub.wire:Protocol')",
    }[how]
    (tmp_path / "start.py").write_text(f"import sys\n{change}\n{start}\n")
    with Process("start.py", cwd=tmp_path, command=[sys.executable]) as process:
        with connect(f"ws://127.0.0.1:{process.port()}/ws", additional_headers={"number": "7"}) as websocket:
            assert websocket.recv(5) == "plain"
            websocket.send("hello")
            assert websocket.recv(5) == "hello"
        process.signal(signal.SIGTERM)
        assert process.said.count("the fast path is off, since it does not fit uvicorn ") == 1
        assert process.faults() == []


@pytest.mark.parametrize("change", ["", *FASTAPI_CHANGES.values()], ids=["none", *FASTAPI_CHANGES])
def test_a_fastapi_whose_resolver_has_changed_is_an_error_where_a_handler_has_dependencies(
    tmp_path: Path, change: str
) -> None:
    (tmp_path / "main.py").write_text(f"{change}\n{HUB.split('@app', maxsplit=1)[0]}{HANDLERS}")
    finished = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert finished.stderr == ""
    if change:
        assert "of_connection: dependencies of handlers do not work with FastAPI " in finished.stdout
        assert finished.stdout.endswith("or install an older FastAPI, or a newer hubbub\n")
    else:
        assert finished.stdout == "taken\n"


@pytest.mark.parametrize("change", ["", *INCLUSION_CHANGES.values()], ids=["none", *INCLUSION_CHANGES])
def test_a_fastapi_that_would_leave_routers_unguarded_is_an_error_where_a_router_is_asked_for(
    tmp_path: Path, change: str
) -> None:
    (tmp_path / "main.py").write_text(f"{change}\n{ROUTERS}")
    finished = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert finished.stderr == ""
    said = finished.stdout.splitlines()
    if change:
        assert len(said) == 2
        assert all(line.startswith("the hub's routers do not fit FastAPI ") for line in said)
        assert all("Install an older FastAPI, or a newer hubbub" in line for line in said)
    else:
        assert said == ["taken", "taken"]
