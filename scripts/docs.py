"""Writes what the code itself says into the docs: four reference pages, and the files shown on all pages."""

import ast
import inspect
import itertools
import re
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from typer.models import ArgumentInfo, OptionInfo

import hubbub
from hubbub.channels import Rules
from hubbub.cli.commands import app as command_line
from hubbub.errors import CommandError, Disconnect, Refused, Restarting, SessionEnd, Slow
from hubbub.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOTE = "<!-- Written by scripts/docs from the source: edit the docstrings there. -->"

# What of each public name is for its users, in the order to read about it.
API: dict[str, tuple[str, ...]] = {
    "Hub": (
        "settings",
        "lifespan",
        "connect",
        "publish",
        "publish_sync",
        "run_sync",
        "history",
        "on_goodbye",
        "clients",
        "router",
        "api",
        "channel",
        "map_channel",
        "poll_channel",
        "rpc",
        "on_connect",
        "subscribe",
        "unsubscribe",
        "disconnect",
        "presence",
        "asyncapi",
        "one_process",
    ),
    "Channel": ("pattern", "rules", "name", "publish", "publish_sync", "on_subscribe", "on_publish"),
    "MapChannel": ("publish", "publish_sync", "remove", "state", "clear", "on_subscribe", "on_publish"),
    "PollChannel": ("on_poll", "on_subscribe", "sign", "publish", "publish_sync"),
    "Client": ("info", "goodbye", "send", "send_sync", "join", "leave", "close"),
    "ClientInfo": ("id", "user", "address", "path", "subprotocol", "data", "connected_at"),
    "Goodbye": ("code", "reason", "by"),
    "SessionInfo": ("id", "user", "info", "meta", "transport", "protocol", "connected_at"),
    "current_session": (),
    "Data": (),
    "Identity": ("user", "info", "data", "expire_at", "subscriptions", "meta"),
    "Grant": ("info", "data", "expire_at"),
    "JWT": ("token", "subscription_token", "user"),
    "TokenUser": ("user", "info", "claims", "expire_at", "scopes"),
    "Auth": ("authenticate", "authorize"),
    "Publication": ("data", "offset", "epoch", "publisher", "tags", "key", "removed"),
    "Member": ("user", "client", "info", "channel_info"),
    "Position": ("offset", "epoch"),
    "Polled": (),
    "Settings": ("load", "detection_bound"),
    "HubbubError": (),
    "UsageError": (),
    "CommandError": ("code", "message", "temporary"),
    "Forbidden": (),
    "Disconnect": ("code", "reconnect", "advice", "aborts", "goodbye"),
    "Broker": ("start", "stop", "publish", "announce", "subscribe", "unsubscribe"),
    "History": ("history", "remove_history"),
    "Retention": ("size", "ttl", "meta_ttl"),
}

# What the source leaves to the name.
UNSAID = {
    "Hub.settings": "`settings: Settings`: what the arguments and the environment came to.",
    "Client.info": "`info: ClientInfo`: who it is.",
    "Hub": "`Hub(broker: str | Broker = 'memory://', *, auth: Auth | None = None, **settings)`",
    "JWT": "`JWT(*, secret=None, previous_secret=None, previous_secret_until=None, public_key=None, jwks_url=None, "
    "algorithms=None, audience=None, issuer=None, user_claim='sub', leeway=0.0, allow_anonymous=True, "
    "subscription=None)`",
}


# Docstrings


def plain(text: str) -> str:
    """One paragraph of a docstring as Markdown on one line."""
    return re.sub(r"\s+", " ", text).strip().replace("``", "`")


def sections(docstring: str) -> Iterator[tuple[str, str]]:
    """The prose of a Google-style docstring, under the name '', then each section under its own."""
    name = ""
    lines: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            yield name, "\n".join(lines)
            name, lines = line.removesuffix(":"), []
        else:
            lines.append(line)
    yield name, "\n".join(lines)


def items(block: str) -> list[str]:
    """The entries of a section: a line each, with what is indented below it."""
    return [plain(item) for item in re.split(r"\n(?=\S)", textwrap.dedent(block).strip())]


def markdown(docstring: str) -> str:
    parts = []
    for name, block in sections(docstring):
        if name == "":
            parts += [plain(paragraph) for paragraph in re.split(r"\n\s*\n", block) if paragraph.strip()]
        elif name == "Returns":
            parts.append(f"Returns: {plain(block)}")
        else:
            title = {"Args": "Arguments", "Raises": "Raises"}[name]
            entries = (re.sub(r"^([\w.*]+): ", r"`\1`: ", item) for item in items(block))
            parts.append("\n".join([f"{title}:", "", *(f"- {entry}" for entry in entries)]))
    return "\n\n".join(parts)


def body_of(thing: type) -> list[ast.stmt]:
    node = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node.body


def attribute_docs(body: list[ast.stmt]) -> dict[str, str]:
    """The strings below attributes, and below those that ``__init__`` sets."""
    found: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            found |= attribute_docs(statement.body)
    for statement, after in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[ast.unparse(statement.target).removeprefix("self.")] = str(after.value.value)
    return found


# Settings


def size(number: int) -> str:
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if number >= factor and number % factor == 0:
            return f"{number} ({number // factor} {unit})"
    return str(number)


def default_of(name: str, doc: str) -> str:
    value = Settings.model_fields[name].default
    if value == ():
        return "none"
    if isinstance(value, SecretStr | str):
        return f"`{value}`" if value and isinstance(value, str) else "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return size(value) if isinstance(value, int) and doc.startswith("Bytes") else f"{value:g}"


def bound_of(name: str) -> str:
    for bound in Settings.model_fields[name].metadata:
        for attribute, words in (("ge", "at least"), ("gt", "more than")):
            if hasattr(bound, attribute):
                return f"{words} {getattr(bound, attribute)}"
    return {bool: "`true` or `false`", tuple[str, ...]: "a list"}.get(Settings.model_fields[name].annotation, "text")


SETTINGS_PAGE = """\
# Settings

{note}

Every limit and time of a hub. Give one as an argument, `Hub(message_rate=20)`, or in the environment,
`HUBBUB_MESSAGE_RATE=20`; an argument wins. Times are seconds, sizes are bytes.

`HUBBUB_BROKER` is no limit, but the URL of the broker of a hub that is given none: `Hub()` instead of `Hub("…")`. Only
`memory://` exists so far; any other URL is an error at the start.

| argument | environment | default | allowed | meaning |
|---|---|---|---|---|
{rows}

A wrong value or an unknown argument stops the program before it serves, with a `UsageError` that names it.
An unknown `HUBBUB_…` variable is warned of in the log.

`hubbub run` and `hubbub serve` start the server before they know your hub. So what concerns the server is read
from the environment alone, and an argument of `Hub` does not reach it: `HUBBUB_HANDSHAKE_TIMEOUT` (for the
request's head), `HUBBUB_STOP_TIMEOUT` (for uvicorn's part of a stop), `HUBBUB_MAX_CONNECTIONS` (for the limit of
file descriptors), and the two ping times for WebSockets that no hub has taken.

A peer that is frozen or unplugged is noticed after at most `ping_interval + ping_timeout + 1` seconds: {bound:g}
with the defaults. Where that holds: [choose a server](../howto/choose-a-server.md).

If code of the app blocks the event loop, no peer is blamed for it: that time does not count against the deadlines of
peers (a request's head, the connect of a session, pongs, refreshes, the grace after a leave), since what they sent
meanwhile waits to be read. On servers other than `hubbub run` and `hubbub.wire`, pings are the server's own.

What a client sees when it meets a limit: [close codes](close-codes.md).
"""


def settings_page() -> str:
    docs = attribute_docs(body_of(Settings))
    cells = (
        (f"`{name}`", f"`HUBBUB_{name.upper()}`", default_of(name, docs[name]), bound_of(name), plain(docs[name]))
        for name in Settings.model_fields
    )
    rows = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    fields = Settings.model_fields
    bound = fields["ping_interval"].default + fields["ping_timeout"].default + 1
    return SETTINGS_PAGE.format(note=NOTE, rows=rows, bound=bound)


# Close codes


def tree(root: type[Disconnect]) -> Iterator[type[Disconnect]]:
    for child in root.__subclasses__():
        if "code" in vars(child):
            yield child
        yield from tree(child)


def seen_by_peer(kind: type[Disconnect]) -> str:
    if issubclass(kind, Refused):
        return "HTTP 503" if kind.reconnect else "HTTP 403"
    if kind is Restarting:
        return "1012 or HTTP 503"
    if kind is Slow:
        return "1006"
    return f"{kind.code} or 1006" if kind.aborts else str(kind.code)


CLOSE_CODES_PAGE = """\
# Close codes

{note}

How a connection ends, as `client.goodbye` and the functions of `hub.on_goodbye` are told it: a code, a reason,
and who ended it (`peer`, `app` or `hub`).

## What the hub ends

| code | name | the peer sees | come back? | when | what to do |
|---|---|---|---|---|---|
{rows}

Each is one line in the log, with the address, the path and the reason, and, once the connection was accepted,
with the client's id: at WARNING, a handler that failed at ERROR with its traceback. A restart is not logged.

*Come back?* says whether connecting again without a change can help. Come back after a random delay, so that
not all do at once.

*1006* is not on the wire: it is what a WebSocket library reports when no close frame came. A peer that does not
read cannot be told a code, since what it has not read is in the way of the close frame. So 3008 is never on the
wire: it is what the log and `on_goodbye` say. A frozen peer has room for a close frame, and may find 1011 when it
thaws.

## What ends a session

Sessions, which speak the Centrifuge protocol, are told these codes with these words; over HTTP, where there is no
close frame, as a last `disconnect` push. SDKs come back after 3000 to 3499 and 4000 to 4499, and give up after
3500 to 3999 and 4500 to 4999; 4000 to 4999 are yours, for `hub.disconnect`.

3000 is the exception, as in Centrifugo: the connection ends behind what is queued, without a close frame and without
a push. SDKs report a lost transport and come back. On ASGI servers other than uvicorn, where an app cannot end the
connection like this, it is closed with 1001, which means the same to SDKs.

| code | name | the words | come back? | when | what to do |
|---|---|---|---|---|---|
{sessions}

## What a command is answered with

The session stays. Raise one of these in a handler (`from hubbub.errors import …`), or `CommandError` with a code of
your own from 400 to 1999.

| code | name | message | when |
|---|---|---|---|
{commands}

## Before the accept

*HTTP 403* and *HTTP 503* are answers to the handshake, before the connection is accepted. 503 comes with
`Retry-After`: clients that reconnect by themselves come back after 503, and give up after 403. A browser's page sees
1006 and no more; the reason is in the server's log.

An endpoint of yours gets the same 503 with `raise WebSocketException(1013)` or `websocket.close(1013)` before the
accept; so does 1012. ASGI servers without the `websocket.http.response` extension cannot answer 503: there the
hub accepts the connection and closes it at once with 1013 or 1012.

The reason of a close frame is at most 123 bytes of UTF-8. A longer one is cut, between characters.

## What the peer or your code ends

| code | by | when |
|---|---|---|
| 1000 | `app` | The block of `hub.connect` ended, or `client.close()` was called. |
| 1000 to 1003, 1007 to 1014, 3000 to 4999 | `app` | `client.close(code, reason)`, or a `WebSocketException` raised in \
the block. 4000 to 4999 are yours. |
| 1001 | `hub` | The server cancelled the endpoint. |
| what the peer sent | `peer` | The peer closed. Browsers send 1001 when a page is left. |
| 1005 | `peer` | The peer closed and gave no code. |
| 1006 | `peer` | The connection broke, without a goodbye. |
"""


def close_codes_page() -> str:
    ends = sorted(tree(Disconnect), key=lambda kind: (issubclass(kind, Refused), kind.code, kind.__name__))
    kinds = [kind for kind in ends if not issubclass(kind, SessionEnd)]
    sessions = [
        (
            str(kind.code),
            f"`{kind.__name__}`",
            kind.text,
            "yes" if kind.reconnect else "no",
            first_paragraph(kind),
            re.sub(r"(HUBBUB_\w+)", r"`\1`", plain(kind.advice)),
        )
        for kind in ends
        if issubclass(kind, SessionEnd)
    ]
    commands = [
        (str(kind.code), f"`{kind.__name__}`", kind.message, first_paragraph(kind))
        for kind in sorted(CommandError.__subclasses__(), key=lambda kind: kind.code)
    ]
    cells = (
        (
            str(kind.code),
            f"`{kind.__name__}`",
            seen_by_peer(kind),
            "yes" if kind.reconnect else "no",
            first_paragraph(kind),
            re.sub(r"(HUBBUB_\w+)", r"`\1`", plain(kind.advice)),
        )
        for kind in kinds
    )
    return CLOSE_CODES_PAGE.format(note=NOTE, rows=table(cells), sessions=table(sessions), commands=table(commands))


def first_paragraph(kind: type) -> str:
    return plain(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0])


def table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# Channel rules


CHANNELS_PAGE = """\
# Channel rules

{note}

What `hub.channel(pattern, …)` takes. All of it is frozen: a channel is what its declaration says, as long as the
program runs. Everything that you do not set is off or denied.

| rule | default | type | meaning |
|---|---|---|---|
{rows}

`recovery` is `"force"` where there is a history, unless said otherwise; `recovery="cache"` is short for
`recovery="force", recovery_mode="cache", auto_cache=True`. Times are seconds, or text such as `"90s"`,
`"15m"`, `"1h30m"`, `"7d"`.

Who may: `"nobody"`; `"subscribers"`, who are in the channel; `"users"`, who have a user; `"everyone"`. A handler
(`on_subscribe`, `on_publish`) decides instead of the rule, and a subscription token instead of both.

## Patterns

| pattern | matches | not |
|---|---|---|
| `news` | `news` | `news:1` |
| `chat:{{room}}` | `chat:lobby`, `chat:lobby#42` | `chat:a:b` |
| `files:{{path:path}}` | `files:a:b`, `files:` | `file:a` |
| `#{{user}}`, `personal=True` | `#42`, for user 42 alone, from its connect on | |

A pattern may have several parameters, but only one of them may end anywhere. Behind each other one, put a colon or end
the pattern: `dm:{{a}}:{{b}}`, not `dm:{{a}}-{{b}}-{{c}}`. Otherwise a client could send long names that take long to
match.

The first declaration that matches counts, so declare the narrow ones first. A name is ASCII, and as long as
`max_channel_length` allows; `$` before it (`$chat:lobby`) makes a subscription token necessary.
"""


def channels_page() -> str:
    docs = attribute_docs(body_of(Rules))
    hints = {name: ast.unparse(node) for name, node in annotations_of(Rules).items()}
    rows = [
        (f"`{name}`", f"`{Rules._field_defaults[name]!r}`", f"`{hints[name].replace('|', chr(92) + '|')}`",
         plain(docs[name]))
        for name in Rules._fields
    ]  # fmt: skip
    return CHANNELS_PAGE.format(note=NOTE, rows=table(rows))


def annotations_of(thing: type) -> dict[str, ast.expr]:
    return {ast.unparse(node.target): node.annotation for node in body_of(thing) if isinstance(node, ast.AnnAssign)}


# Public names


def parameters(arguments: ast.arguments) -> list[str]:
    def one(argument: ast.arg, default: ast.expr | None, stars: str = "") -> str:
        annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
        return f"{stars}{argument.arg}{annotation}" + (f" = {ast.unparse(default)}" if default else "")

    missing = len(arguments.args) - len(arguments.defaults)
    positional = [one(*pair) for pair in zip(arguments.args, [*[None] * missing, *arguments.defaults], strict=True)]
    named = [one(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    rest = [one(arguments.kwarg, None, "**")] if arguments.kwarg else []
    return [*positional[1:], *(["*"] if named else []), *named, *rest]  # without self


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}".replace("'", "") if node.returns else ""
    parts = parameters(node.args)
    line = f"{kind} {node.name}({', '.join(parts)}){returns}"
    if len(line) <= 100:
        return line
    return f"{kind} {node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def member_text(owner: str, member: str, body: list[ast.stmt], docs: dict[str, str]) -> list[str]:
    if f"{owner}.{member}" in UNSAID:
        return [f"- {UNSAID[f'{owner}.{member}']}"]
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != member:
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if "overload" in decorators:
            continue
        doc = markdown(ast.get_docstring(node) or "")
        if {"property", "cached_property"} & set(decorators):
            returns = ast.unparse(node.returns) if node.returns else ""
            return [f"### `{owner}.{member}`", "", f"A property, `{returns}`. {doc}", ""]
        kind = [name for name in decorators if name != "overload"]
        code = "\n".join([*(f"@{name}" for name in kind), signature(node)])
        return [f"### `{owner}.{member}()`", "", "```pyi", code, "```", "", doc, ""]
    for node in body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == member:
            text = plain(docs.get(member, ""))
            return [f"- `{member}: {ast.unparse(node.annotation)}`" + (f": {text}" if text else "")]
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign) and ast.unparse(inner.target) == f"self.{member}":
                    text = plain(docs.get(member, ""))
                    return [f"- `{member}: {ast.unparse(inner.annotation)}`" + (f": {text}" if text else "")]
    raise SystemExit(f"scripts/docs.py names {owner}.{member}, which is not in the source")


def api_page() -> str:
    lines = [
        "# Public names",
        "",
        NOTE,
        "",
        "Everything here is imported from `hubbub`, errors also from `hubbub.errors`. What is not on this page may "
        "change without notice.",
        "",
        *(f"- [`{name}`](#{name.lower()})" for name in API),
        "- [`hubbub.errors`](#hubbuberrors)",
        "- [`hubbub.wire`](#hubbubwire)",
        "",
    ]
    for name, members in API.items():
        thing = getattr(hubbub, name)
        if inspect.isfunction(thing):
            lines += [f"## `{name}`", "", markdown(thing.__doc__ or ""), ""]
            continue
        own = [kind for kind in thing.__mro__ if kind.__module__.startswith("hubbub.")]
        body = [node for kind in own for node in body_of(kind)]
        docs = attribute_docs(body)
        lines += [f"## `{name}`", "", *([UNSAID[name], ""] if name in UNSAID else []), markdown(thing.__doc__), ""]
        for member in members:
            text = member_text(name, member, body, docs)
            if text[0].startswith("- ") and not lines[-1]:
                lines += ["Attributes:", ""]
            if text[0].startswith("###") and lines[-1].startswith("- "):
                lines.append("")
            lines += text
        if lines[-1]:
            lines.append("")
    return "\n".join(lines) + WIRE_SECTION


WIRE_SECTION = """
## `hubbub.errors`

Every error that your code may raise or catch: `from hubbub.errors import Unauthorized, InvalidRequest, TokenExpired`.

- To answer a command in a handler, raise a `CommandError`:
  [all of them](close-codes.md#what-a-command-is-answered-with).
- To end the session in a handler, raise a `SessionEnd`, such as `ForceDisconnect` or `ForceReconnect`:
  [all of them](close-codes.md#what-ends-a-session).
- `jwt.authenticate` and `jwt.authorize` raise `InvalidToken`, `SessionForbidden`, `TokenExpired`, `Expired`,
  `Forbidden` and `InternalError`.
- `UsageError` says that the program uses Hubbub wrongly, and how to do it right.

## `hubbub.wire`

The fast path, for a uvicorn that you start yourself:
`uvicorn main:app --ws hubbub.wire:Protocol --http hubbub.wire:HttpProtocol --loop uvloop`. `hubbub run` sets all
three. `Protocol` speaks WebSocket; `HttpProtocol` is uvicorn's own with bounds on a request's head and on what waits
behind a response.

Settings have a page of their own, [settings](settings.md), and so have the kinds of `Disconnect`,
[close codes](close-codes.md).
"""


# Command line


def flags(name: str, info: OptionInfo, kind: Any) -> str:
    # In Annotated, typer takes the first name for what it calls the default.
    names = [text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)]
    if names:
        return ", ".join(f"`{name}`" for name in names)
    flag = name.replace("_", "-")
    return f"`--{flag}`, `--no-{flag}`" if kind is bool else f"`--{flag}`"


def default_text(value: Any, kind: Any) -> str:
    if value is None or value is inspect.Parameter.empty:
        return ""
    if kind is bool:
        return "on" if value else "off"
    return f"`{value}`" if value != "" else ""


def command_section(command: Any, group: str = "") -> list[str]:
    function = command.callback
    called = f"hubbub {group}{function.__name__}"
    hints = typing.get_type_hints(function, include_extras=True)
    usage, arguments, rows = [called], [], []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        if isinstance(info, ArgumentInfo):
            metavar = info.metavar or name.upper()
            usage.append(metavar)
            arguments.append(f"`{metavar}`: {info.help}")
        else:
            rows.append(f"| {flags(name, info, kind)} | {default_text(parameter.default, kind)} | {info.help} |")
    usage.insert(1, "[OPTIONS]")
    paragraphs = [plain(part) for part in inspect.cleandoc(function.__doc__).split("\n\n")]
    lines = [f"## `{called}`", "", "\n\n".join(paragraphs), "", "```text", " ".join(usage), "```", ""]
    for argument in arguments:
        lines += [argument, ""]
    return [*lines, "| option | default | meaning |", "|---|---|---|", *rows, ""]


def command_line_page() -> str:
    assert isinstance(command_line, typer.Typer)
    lines = [
        "# Command line",
        "",
        NOTE,
        "",
        "`hubbub --help` and `hubbub COMMAND --help` say the same. `python -m hubbub` is `hubbub`. The command line "
        'comes with `pip install "hubbub[standard]"`. `hubbub --version` prints the versions of Hubbub, Python, '
        "FastAPI and uvicorn.",
        "",
        "Answers go to standard output, and everything else to standard error.",
        "",
    ]
    for command in command_line.registered_commands:
        lines += command_section(command)
    for group in command_line.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            lines += command_section(command, f"{group.name} ")
    lines += [
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | A normal end. For `connect`: you closed, or the server closed with 1000, 1001 or no code. |",
        "| 1 | The server cannot be reached, refused or answered with an error, or closed with another code; or `token "
        "check` says that the token is not good. |",
        "| 2 | Wrong use; one sentence on standard error says what to do. |",
        "| 130 | Interrupted with Ctrl-C. |",
    ]
    return "\n".join(lines)


# Files

SHOWN_FILE = re.compile(r"(<!-- file: (\S+) -->\n```(\w+)\n)(?:(?!```).*\n)*```")


def with_files(text: str) -> str:
    """The page with each block below ``<!-- file: path -->`` as that file is."""
    return SHOWN_FILE.sub(lambda match: f"{match[1]}{(ROOT / match[2]).read_text().rstrip()}\n```", text)


PAGES = {
    "settings.md": settings_page,
    "close-codes.md": close_codes_page,
    "channels.md": channels_page,
    "api.md": api_page,
    "command-line.md": command_line_page,
}


def fresh() -> Iterator[tuple[Path, str]]:
    """Every page and what it should be."""
    generated = {DOCS / "reference" / name: page for name, page in PAGES.items()}
    for path, page in generated.items():
        yield path, page().rstrip() + "\n"
    for path in (*ROOT.glob("README.md"), *DOCS.rglob("*.md")):
        if path not in generated:
            yield path, with_files(path.read_text())


def main() -> int:
    check = "--check" in sys.argv
    stale = [(path, text) for path, text in fresh() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        print(f"{'stale: run scripts/docs for' if check else 'written:'} {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text)
    return 1 if stale and check else 0


if __name__ == "__main__":
    raise SystemExit(main())
