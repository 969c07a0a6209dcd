"""Settings and rules by name, for type checkers and editors: ``Hub(message_rate=20)``, ``hub.channel(…, delta=True)``.

What each means, its default and its limits are said once, in ``Settings``, ``Rules``, ``MapRules`` and ``PollRules``.
A test compares the fields here with those.
"""

from collections.abc import Sequence
from typing import Literal, TypedDict

from pydantic import SecretStr

from hubbub.channels import Offer, Who

Time = str | float
"""Seconds, or text such as ``"90s"``, ``"15m"``, ``"1h30m"``."""


class SettingsByName(TypedDict, total=False):
    """What ``Hub`` takes by name: the fields of ``Settings``."""

    max_message_size: int
    message_rate: float
    byte_rate: float
    work_rate: float
    rate_burst: float
    max_inbox_messages: int
    max_inbox_bytes: int
    max_queued_bytes: int
    max_queued_bytes_total: int
    max_answer_bytes: int
    slow_timeout: float
    max_connections: int
    max_connections_per_address: int
    max_request_head_size: int
    max_request_headers: int
    handshake_timeout: float
    ping_interval: float
    ping_timeout: float
    leave_grace: float
    close_timeout: float
    session_ping_interval: float
    session_pong_timeout: float
    stale_timeout: float
    expired_grace: float
    expired_subscription_grace: float
    allow_anonymous: bool
    max_channels_per_session: int
    max_channel_length: int
    max_filters_per_channel: int
    max_connections_per_user: int
    max_history_publications: int
    max_recovered_publications: int
    stop_timeout: int
    allowed_origins: str | Sequence[str]
    fan_out_slice: int
    api_key: str | SecretStr
    asyncapi_url: str
    history_size: int
    history_ttl: float
    max_idle_channels: int


class ChannelRules(TypedDict, total=False):
    """What ``hub.channel`` takes besides its own parameters: fields of ``Rules``."""

    meta_ttl: float
    recovery_mode: Literal["stream", "cache"]
    auto_cache: bool
    max_recovered: int
    max_page_size: int
    positioning: Offer
    delta: bool
    tags_filter: bool
    binary: bool
    user_limited: bool
    personal: bool
    clients_map: str
    users_map: str
    may_subscribe: Who
    may_publish: Who
    may_see_presence: Who
    may_read_history: Who


class MapChannelRules(TypedDict, total=False):
    """What ``hub.map_channel`` takes besides its own parameters: fields of ``MapRules`` and ``Rules``."""

    of: Literal["entries", "clients", "users"]
    stream_size: int
    stream_ttl: Time
    meta_ttl: Time
    client_key: Literal["", "client_id", "user_id"]
    remove_on_leave: bool
    default_page_size: int
    min_page_size: int
    max_page_size: int
    max_catch_up: int
    catch_up_timeout: Time
    debounce: Time
    max_key_length: int
    max_entries: int
    presence: bool
    join_leave: Offer
    delta: bool
    tags_filter: bool
    binary: bool
    user_limited: bool
    clients_map: str
    users_map: str
    may_see_presence: Who


class PollChannelRules(TypedDict, total=False):
    """What ``hub.poll_channel`` takes besides its own parameters: fields of ``PollRules`` and ``Rules``."""

    batch: int
    timeout: Time
    max_keys: int
    publish_enabled: bool
    delta: bool
    user_limited: bool
