"""Every limit and time-out of a hub, in one frozen tree: from arguments, or from the environment."""

import logging
import math
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

import idna
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hubbub.errors import UsageError
from hubbub.spelling import meant_by, wrong_values

_log = logging.getLogger("hubbub")
_warned_of: set[str] = set()
_PREFIX = "HUBBUB_"
BROKER_VARIABLE = "HUBBUB_BROKER"
"""The URL of the broker of a hub that is given none."""
_ORIGIN = re.compile(r"([\w+.-]+://)(\*\.)?([^/*\s]+?)(:[0-9]+)?/?")
_PATH = re.compile(r"(/[\w.~-]+)+")
_WITHOUT_HOST = ("*", "null", "file://")
_DEFAULT_PORTS = {"http://": ":80", "https://": ":443"}


class Settings(BaseSettings):
    """The settings of one hub.

    Each is read from the environment as ``HUBBUB_`` and its name in capitals, unless given as an argument.
    Times are seconds, sizes are bytes, and for rates and counts that say so 0 means no limit.
    """

    model_config = SettingsConfigDict(env_prefix="HUBBUB_", frozen=True, extra="forbid", allow_inf_nan=False)

    max_message_size: int = Field(default=64 * 1024, ge=1)
    """Bytes in one message from a peer, after decompression. Larger: close 1009."""
    message_rate: float = Field(default=100.0, ge=0)
    """Messages a second from one client, control frames included. 0: no limit. More: close 1008, or 3013 for a session.
    A session may always send four messages for each channel that it may be in, so that it can resubscribe."""
    byte_rate: float = Field(default=1024 * 1024, ge=0)
    """Bytes a second from one client. 0: no limit. More: close 1008, or 3013 for a session."""
    work_rate: float = Field(default=10_000.0, ge=0)
    """Units of work a second that the commands of one session may make: a unit for each publication or member in an
    answer, for each KiB of it, for 32 members that are counted, and for each receiver that is told of a join or leave.
    0: no limit. More: commands that make work get error 111 until the budget has refilled."""
    rate_burst: float = Field(default=2.0, ge=1)
    """Seconds' worth of each rate that a client may use at once."""
    max_inbox_messages: int = Field(default=1024, ge=1)
    """Messages of one client that wait for its handler. More: close 1008. For a session, commands that wait for their
    turn, and at least four for each channel that it may be in. More: 3013."""
    max_inbox_bytes: int = Field(default=4 * 1024 * 1024, ge=1)
    """Bytes of one client that wait for its handler. More: close 1008, or 3013 for a session."""
    max_queued_bytes: int = Field(default=1024 * 1024, ge=1)
    """Bytes of publications that wait for one slow receiver, without the message or the answer that is being sent to
    it. More: it is disconnected (3008)."""
    max_queued_bytes_total: int = Field(default=256 * 1024 * 1024, ge=1)
    """Bytes that wait for all receivers together. More: the one furthest behind is disconnected (3008)."""
    max_answer_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Bytes in one answer to a session. A longer history ends its page there, a larger recovery is answered with
    `recovered: false`, and any other larger answer is error 106."""
    slow_timeout: float = Field(default=10.0, gt=0)
    """Seconds in which a receiver that is behind must take some of the bytes that wait for it. If it takes none: it is
    disconnected (3008)."""
    max_connections: int = Field(default=10_000, ge=1)
    """Live clients of this hub. More are refused before accept."""
    max_connections_per_address: int = Field(default=0, ge=0)
    """Live clients from one address. 0: no limit, since a proxy is one address for all behind it. Clients of unknown
    address, as on a Unix socket without `--forwarded-allow-ips`, are not limited."""
    handshake_timeout: float = Field(default=10.0, gt=0)
    """Seconds for a peer to send its whole handshake (`hubbub run` and `hubbub serve`) and to take the answer."""
    max_request_headers: int = Field(default=128, ge=1)
    """Header fields of one request. More: 431 (`hubbub run` and `hubbub serve`), or refused before accept."""
    max_request_head_size: int = Field(default=64 * 1024, ge=1024)
    """Bytes in the head of one request (`hubbub run` and `hubbub serve`). Larger: 431."""
    ping_interval: float = Field(default=15.0, gt=0)
    """Seconds between two pings of an idle client."""
    ping_timeout: float = Field(default=8.0, gt=0)
    """Seconds for a peer to answer a ping. Silent for longer: disconnected (1011)."""
    leave_grace: float = Field(default=1.0, ge=0)
    """Seconds for a handler to finish what its peer had sent before it left; then it is cancelled (see the log)."""
    close_timeout: float = Field(default=1.0, gt=0)
    """Seconds for a peer to answer a close frame; then the connection is aborted."""
    session_ping_interval: float = Field(default=25.0, gt=0)
    """Seconds between two pings of a session, in the Centrifuge protocol."""
    session_pong_timeout: float = Field(default=8.0, gt=0)
    """Seconds for a session to answer a ping. Silent for longer: disconnected (3012)."""
    stale_timeout: float = Field(default=10.0, gt=0)
    """Seconds for a session to send its connect command. Later: disconnected (3502)."""
    expired_grace: float = Field(default=25.0, ge=0)
    """Seconds after a connection's expiry in which it may still be refreshed. Then: disconnected (3005)."""
    expired_subscription_grace: float = Field(default=25.0, ge=0)
    """Seconds after a subscription's expiry in which it may still be refreshed. Then: unsubscribed (2501)."""
    allow_anonymous: bool = False
    """Whether sessions may connect without a token, as nobody in particular. An `on_connect` decides instead."""
    max_channels_per_session: int = Field(default=128, ge=1)
    """Channels that one session is in. More: error 106, or 3505 where the server subscribes."""
    max_channel_length: int = Field(default=255, ge=1, le=1024)
    """Bytes of a channel's name. Longer: error 107."""
    max_filters_per_channel: int = Field(default=1000, ge=1)
    """Different tags filters of the subscribers of one channel; equal ones count once. More: error 106, temporary."""
    max_connections_per_user: int = Field(default=0, ge=0)
    """Live sessions of one user. 0: no limit. More: refused (3504)."""
    max_history_publications: int = Field(default=300, ge=1)
    """Publications in one answer to a client's history command, unless the channel has a `max_page_size`."""
    max_recovered_publications: int = Field(default=300, ge=1)
    """Publications that a returning session is sent, unless the channel has a `max_recovered`. It missed more: not
    recovered."""
    stop_timeout: int = Field(default=5, ge=1)
    """Seconds in which a stop ends, whatever the clients do."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages that may connect besides the server's own: ``https://app.example``, or for all of its
    subdomains ``https://*.app.example``. ``file://`` is Electron's; ``null`` is any sandboxed frame; ``*`` is any."""
    fan_out_slice: int = Field(default=1024, ge=1)
    """Receivers that are written to before the event loop gets its turn. What is made for them counts too."""
    api_key: SecretStr = SecretStr("")
    """What callers of the HTTP API show. Empty: nobody may call it."""
    asyncapi_url: str = "/asyncapi"
    """Where ``hub.router`` has the page of the API, and with ``.json`` its document. Empty: neither is there."""
    history_size: int = Field(default=0, ge=0)
    """Publications that a channel keeps. 0: none."""
    history_ttl: float = Field(default=300.0, gt=0)
    """Seconds that a channel keeps a publication."""
    max_idle_channels: int = Field(default=10_000, ge=0)
    """Channels without publications, entries and subscribers whose position ``memory://`` remembers, and as many maps.
    If there are more, the least recently used are forgotten: a client that returns to one gets `recovered: false`."""

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_as_browsers_send(origin) for origin in value)

    @field_validator("asyncapi_url")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if value and not _PATH.fullmatch(value):
            raise ValueError(f"{value!r} is not a path such as '/asyncapi'")
        return value

    @property
    def detection_bound(self) -> float:
        """Seconds after which a frozen or unplugged peer is noticed at the latest."""
        return self.ping_interval + self.ping_timeout + 1.0

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Settings from ``given`` and the environment.

        Raises:
            UsageError: a name is unknown, a value is wrong, or two settings contradict each other; the message lists
                each with its remedy.
        """
        _warn_of_unknown_variables(os.environ)
        try:
            settings = cls(**given)
        except ValidationError as error:
            kinds = {name: field.annotation for name, field in cls.model_fields.items()}
            lines = [
                f"{_name(name, given)}: {fault if name in kinds else _say_unknown(name)}"
                for name, fault in wrong_values(error, kinds).items()
            ]
            raise UsageError("wrong settings: " + "; ".join(lines)) from None
        _ensure_no_contradiction(settings)
        return settings


def _ensure_no_contradiction(settings: Settings) -> None:
    """Refuses settings of which one allows what another one takes for too much."""
    burst = settings.byte_rate * settings.rate_burst
    allowed = "one message that is allowed would disconnect its client"
    lines = [
        f"{one} ({value}) is more than {other} ({most:.12g}): {why}. Lower {one}, or raise {other}"
        for one, value, other, most, why in (
            ("max_message_size", settings.max_message_size, "byte_rate × rate_burst", burst or math.inf, allowed),
            ("max_message_size", settings.max_message_size, "max_inbox_bytes", settings.max_inbox_bytes, allowed),
            (
                "max_queued_bytes", settings.max_queued_bytes,
                "max_queued_bytes_total", settings.max_queued_bytes_total,
                "no client may have that much waiting",
            ),
            (
                "max_answer_bytes", settings.max_answer_bytes,
                "max_queued_bytes_total", settings.max_queued_bytes_total,
                "one answer that is allowed would disconnect its client",
            ),
        )
        if value > most
    ]  # fmt: skip
    if lines:
        raise UsageError("settings contradict each other: " + "; ".join(lines))


def _as_browsers_send(origin: str) -> str:
    """An origin in the form of the header: lower case, names in ASCII (IDNA), and without a default port."""
    origin = origin.lower()
    if origin in _WITHOUT_HOST:
        return origin
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError(f"{origin!r} is not an origin such as 'https://app.example'")
    scheme, star, host, port = (part or "" for part in parts.groups())
    try:
        labels = [label if label.isascii() else idna.encode(label, uts46=True).decode() for label in host.split(".")]
    except idna.IDNAError:
        raise ValueError(f"{origin!r} is not an origin such as 'https://app.example': no host has this name") from None
    return f"{scheme}{star}{'.'.join(labels)}{'' if port == _DEFAULT_PORTS.get(scheme) else port}"


def _warn_of_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {BROKER_VARIABLE, *(f"{_PREFIX}{name.upper()}" for name in Settings.model_fields)}
    for name in sorted(set(environ) - known - _warned_of):
        if name.startswith(_PREFIX):
            _warned_of.add(name)
            meant = meant_by(name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in known])
            _log.warning("%s is no setting%s", name, f"; did you mean {_PREFIX}{meant}?" if meant else "")


def _name(name: str, given: dict[str, Any]) -> str:
    return name if name in given else f"{_PREFIX}{name.upper()}"


def _say_unknown(name: str) -> str:
    meant = meant_by(name, Settings.model_fields)
    answer = f"did you mean {meant}?" if meant else f"there are {', '.join(Settings.model_fields)}"
    return f"there is no such setting; {answer}"
