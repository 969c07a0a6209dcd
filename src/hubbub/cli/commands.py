"""The commands and their options; what they do is in the modules beside this one."""

import asyncio
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.markup import escape

from hubbub.cli.channels import history, presence, publish, subscribe
from hubbub.cli.connect import Session, open_url, with_bearer
from hubbub.cli.preflight import ensure_importable, ensure_one_hub_process
from hubbub.cli.server import Listening, ServerOptions, Tls, run_server, start_logging
from hubbub.cli.tokens import tokens
from hubbub.errors import UsageError

app = typer.Typer(
    name="hubbub",
    help="Real-time for FastAPI: rooms, notifications and streams that survive production.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its table of options cuts names and squeezes sentences in a terminal of 80 columns
    pretty_exceptions_enable=False,
)

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network this machine is on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]
Uds = Annotated[Path | None, typer.Option(help="Listen on this Unix socket instead.")]
Fd = Annotated[int | None, typer.Option(help="Listen on this open file descriptor instead.", min=0)]
LogLevel = Annotated[str, typer.Option(help="critical, error, warning, info, debug or trace.")]
LogConfig = Annotated[
    Path | None,
    typer.Option(help="Configuration of logging: .json, .yaml or .ini; the hub's logger is 'hubbub'.", exists=True),
]
AccessLog = Annotated[bool, typer.Option(help="Log every request and connection. Tokens are redacted.")]
Deflate = Annotated[bool, typer.Option(help="Offer permessage-deflate: less traffic, more CPU time.")]
CertFile = Annotated[Path | None, typer.Option(help="TLS certificate, with its chain.", exists=True, dir_okay=False)]
KeyFile = Annotated[Path | None, typer.Option(help="TLS key, if not in that file.", exists=True, dir_okay=False)]


def _version(asked: bool) -> None:
    if asked:
        parts = [f"{name} {version(name)}" for name in ("fastapi", "uvicorn")]
        typer.echo(f"hubbub {version('hubbub')} (Python {platform.python_version()}, {', '.join(parts)})")
        raise typer.Exit


@app.callback()
def hubbub(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Real-time for FastAPI: rooms, notifications and streams that survive production."""


@app.command()
def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app, such as main:app, or main.py.")],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    uds: Uds = None,
    fd: Fd = None,
    reload: Annotated[bool, typer.Option(help="Restart when a file changes, for development.")] = False,
    workers: Annotated[int, typer.Option(help="Processes; several need a broker that connects them.", min=1)] = 1,
    factory: Annotated[bool, typer.Option("--factory", help="APP is a function that makes the app.")] = False,
    app_dir: Annotated[
        Path | None, typer.Option(help="Folder to import from. Default: this one.", exists=True, file_okay=False)
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(help="Variables, as NAME=VALUE; those that are set stay.", exists=True, dir_okay=False),
    ] = None,
    root_path: Annotated[str, typer.Option(help="Path prefix that a proxy takes off.")] = "",
    proxy_headers: Annotated[bool, typer.Option(help="Believe X-Forwarded-* of trusted proxies.")] = True,
    forwarded_allow_ips: Annotated[
        str | None, typer.Option(help="Trusted proxies, comma separated; * is any. Default: 127.0.0.1.")
    ] = None,
    ssl_certfile: CertFile = None,
    ssl_keyfile: KeyFile = None,
    ssl_keyfile_password: Annotated[str | None, typer.Option(help="Password of the TLS key.")] = None,
    ssl_ca_certs: Annotated[
        Path | None,
        typer.Option(help="Ask clients for certificates of these authorities.", exists=True, dir_okay=False),
    ] = None,
    limit_concurrency: Annotated[int | None, typer.Option(help="Connections before answering 503.")] = None,
    deflate: Deflate = False,
    access_log: AccessLog = True,
    log_level: LogLevel = "info",
    log_config: LogConfig = None,
) -> None:
    """Run your FastAPI app on the fast path. This is uvicorn with Hubbub's protocol, uvloop and httptools.

    Limits come from the environment: HUBBUB_MESSAGE_RATE, HUBBUB_MAX_CONNECTIONS, HUBBUB_ALLOWED_ORIGINS, …
    """
    if reload and workers > 1:
        raise UsageError("--reload runs the app in one process: leave out --workers, or --reload")
    if env_file is not None:
        load_dotenv(env_file)
    options = ServerOptions(
        Listening(host, port, uds, fd),
        log_level=log_level,
        log_config=log_config,
        access_log=access_log,
        deflate=deflate,
        tls=Tls(ssl_certfile, ssl_keyfile, ssl_keyfile_password, ssl_ca_certs),
        more={
            "reload": reload,
            "workers": workers,
            "factory": factory,
            "root_path": root_path,
            "proxy_headers": proxy_headers,
            "forwarded_allow_ips": forwarded_allow_ips,
            "limit_concurrency": limit_concurrency,
        },
    )
    start_logging(options)
    sys.path.insert(0, str((app_dir or Path.cwd()).resolve()))
    target = ensure_importable(target, load=not reload, folder=app_dir)
    if workers > 1:
        ensure_one_hub_process(workers)
    run_server(target, options)


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    uds: Uds = None,
    fd: Fd = None,
    ssl_certfile: CertFile = None,
    ssl_keyfile: KeyFile = None,
    deflate: Deflate = False,
    access_log: AccessLog = True,
    log_level: LogLevel = "info",
    log_config: LogConfig = None,
) -> None:
    """Serve the example apps and the playground page. Open http://127.0.0.1:8000 in a browser."""
    options = ServerOptions(
        Listening(host, port, uds, fd),
        log_level=log_level,
        log_config=log_config,
        access_log=access_log,
        deflate=deflate,
        tls=Tls(ssl_certfile, ssl_keyfile),
    )
    start_logging(options)
    run_server("hubbub.console.site:app", options)


@app.command()
def connect(
    url: Annotated[str, typer.Argument(help="Such as ws://127.0.0.1:8000/ws/echo; ws:// may be left out.")],
    token: Annotated[
        str | None, typer.Option(help="Sent as the query parameter 'token' and as a Bearer token; shown nowhere.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Check lines as JSON, and print JSON readably.")] = False,
    header: Annotated[list[str] | None, typer.Option(help="A header more, as 'Name: value'. Repeatable.")] = None,
    subprotocol: Annotated[list[str] | None, typer.Option(help="A subprotocol to offer. Repeatable.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds of silence to wait for after piped input has ended.")] = 2.0,
) -> None:
    """Talk to a WebSocket from the terminal. Lines go out, messages come in, and Ctrl-D closes."""
    headers = with_bearer(header or [], token)
    session = Session(
        open_url(url, token), json, headers, subprotocol or [], wait, Console(highlight=False, emoji=False)
    )
    raise typer.Exit(asyncio.run(session.run()))


for command in (subscribe, publish, presence, history):
    app.command()(command)
app.add_typer(tokens, name="token")


def main() -> None:
    """Runs a command; a wrong use is one sentence on standard error, and exit code 2."""
    try:
        app()
    except UsageError as error:
        console = Console(stderr=True, highlight=False, emoji=False)
        console.print(f"[bold red]hubbub:[/] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
