"""What is checked before a server starts, so that the error comes at once and names the remedy."""

import errno
import gc
import importlib
import importlib.util
import logging
import os
import socket
import ssl
import stat
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from hubbub.app import Hub
from hubbub.errors import UsageError
from hubbub.settings import Settings
from hubbub.workers import Workers, several_workers

_log = logging.getLogger("hubbub")

SPARE_DESCRIPTORS = 64
"""For what is not a connection: the event loop, log files, listening sockets, the app's own."""
_OUR_FRAMES = ("hubbub", "importlib")
"""The packages of the frames between the command and the app."""


def ensure_importable(target: str, *, load: bool, folder: Path | None = None) -> str:
    """The import string for ``target``: ``MODULE:APP``, ``MODULE`` (its ``app``) or a file's path.

    Args:
        load: import the module to see that it can be, and has the attribute.
        folder: where it is looked for first, for the error; None is the working directory.

    Raises:
        UsageError: there is no such module or attribute, or the module does not import.
        SystemExit: the module itself fails. Its traceback is on standard error, with the frames above it only at the
            debug level, where the error is raised as it is.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py"):
        module_name = module_name.removesuffix(".py").removeprefix("./").replace(os.sep, ".")
    attribute = attribute or "app"
    try:
        found = importlib.util.find_spec(module_name) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise UsageError(
            f"there is no module {module_name!r} here ({folder or os.getcwd()}): give MODULE:APP as you would import "
            "it, from the folder that holds it"
        )
    if load:
        try:
            module = importlib.import_module(module_name)
        except UsageError:
            raise
        except ImportError as error:
            raise UsageError(f"{module_name!r} cannot be imported: {error}") from error
        except Exception as error:
            if _log.isEnabledFor(logging.DEBUG):
                raise
            traceback.print_exception(error.with_traceback(_frames_of_the_app(error.__traceback__)))
            raise SystemExit(1) from None
        ensure_app(module, attribute)
    return f"{module_name}:{attribute}"


def _frames_of_the_app(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame on that is neither of the command line nor of Python's import."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OUR_FRAMES:
        trace = trace.tb_next
    return trace


def ensure_app(module: ModuleType, attribute: str) -> None:
    """Refuses what is no app: a server would start with it, and answer every request with 500.

    Raises:
        UsageError: the module has no such attribute, or it cannot be called.
    """
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise UsageError(f"module {module.__name__!r} has no {attribute!r}: name the app, {module.__name__}:NAME")
        found = getattr(found, name)
    if not callable(found):
        kind = type(found).__name__
        raise UsageError(f"{module.__name__}:{attribute} is a {kind}, not an app: name the FastAPI app of the module")


def ensure_one_hub_process(workers: int) -> None:
    """Refuses several workers if a hub of the imported app can only serve one.

    Raises:
        UsageError: there is such a hub.
    """
    # Hubs need no registry for this one question, asked once.
    if any(isinstance(thing, Hub) and thing.one_process for thing in gc.get_objects()):
        raise UsageError(several_workers(Workers(workers, "--workers 1")))


def ensure_port_free(host: str, port: int) -> None:
    """Raises:
    UsageError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} on {host} is taken: stop what listens there, or choose another with --port"
                ) from None
            if error.errno == errno.EACCES:
                raise UsageError(f"port {port} needs more rights: choose one from 1024 with --port") from None
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def ensure_unix_socket(path: Path) -> None:
    """Raises:
    UsageError: no Unix socket can be there.
    """
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {str(path.parent)!r} for the Unix socket: create it, or change --uds")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {str(path.parent)!r} may not be written to: choose another with --uds")
    if path.exists() and not path.is_socket():
        raise UsageError(f"{str(path)!r} is there already, and is no Unix socket: remove it, or change --uds")
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                return  # left over from a server that has ended
        raise UsageError(f"a server listens on {str(path)!r}: stop it, or choose another with --uds")


def ensure_listening_socket(fd: int) -> None:
    """Raises:
    UsageError: the file descriptor is no socket.
    """
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise UsageError(
            f"file descriptor {fd} is no open socket: --fd takes one that the parent process has passed on"
        )


def ensure_certificate(certificate: Path, key: Path | None, password: str | None) -> None:
    """Raises:
    UsageError: the certificate, or its key, does not load.
    """
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password or "")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the TLS certificate {str(certificate)!r} does not load ({error}): it must be PEM and fit its key; give "
            "--ssl-keyfile if the key is in another file, and --ssl-keyfile-password if it is encrypted"
        ) from None


def ensure_log_config(file: Path) -> None:
    """Raises:
    UsageError: the file is YAML, and nothing here reads that.
    """
    if file.suffix in (".yaml", ".yml") and importlib.util.find_spec("yaml") is None:
        raise UsageError(f"{str(file)!r} is YAML, which needs PyYAML: pip install pyyaml, or write it as JSON")


def ensure_descriptors(settings: Settings) -> None:
    """Raises this process's limit of file descriptors as far as it may, and checks it against ``max_connections``.

    Raises:
        UsageError: ``max_connections`` was asked for and does not fit.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    needed = settings.max_connections + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        allowed = min(needed, hard)
    else:
        allowed = needed
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    sentence = (
        f"{soft} file descriptors (ulimit -n) are not enough for {settings.max_connections} connections: raise the "
        f"limit to {needed}, or set HUBBUB_MAX_CONNECTIONS to {max(1, soft - SPARE_DESCRIPTORS)} or less"
    )
    if "max_connections" in settings.model_fields_set:
        raise UsageError(sentence)
    _log.warning("%s", sentence)
