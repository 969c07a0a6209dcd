"""One tree of errors; what ends a connection carries its close code, its reason and whether to come back.

HubbubError
├── UsageError                 the program uses Hubbub wrongly: the message names the remedy
├── CommandError               what a command of a session is answered with; the session stays
│   ├── InternalError          100
│   ├── Unauthorized           101
│   ├── UnknownChannel         102
│   ├── Forbidden              103
│   ├── MethodNotFound         104
│   ├── AlreadySubscribed      105
│   ├── LimitExceeded          106
│   ├── InvalidRequest         107
│   ├── NotAvailable           108
│   ├── TokenExpired           109
│   ├── Expired                110
│   ├── TooManyRequests        111
│   ├── UnrecoverablePosition  112
│   └── ConcurrentPagination   113
└── Disconnect                 why the hub ends a connection (a value first, an exception rarely)
    ├── ProtocolViolation      1002
    ├── WrongMessageType       1003
    ├── InvalidMessage         1007
    ├── MessageTooLarge        1009
    ├── RateExceeded           1008
    ├── InboxFull              1008
    ├── Slow                   3008
    ├── Unresponsive           1011
    ├── HandlerFailed          1011
    ├── Restarting             1012
    ├── Refused                before the accept: HTTP 403, or 503
    │   ├── OriginRefused      1008
    │   ├── TooManyHeaders     1008
    │   └── TooManyConnections 1013
    └── SessionEnd             with the texts of the Centrifuge protocol
        ├── ConnectionClosed   3000
        ├── Shutdown           3001
        ├── ServerError        3004
        ├── ConnectionExpired  3005
        ├── SubscriptionExpired 3006
        ├── SlowSession        3008
        ├── CatchUpTimeout     3008
        ├── WriteError         3009
        ├── InsufficientState  3010
        ├── ForceReconnect     3011
        ├── NoPong             3012
        ├── SessionRateExceeded 3013
        ├── StateInvalidated   3014
        ├── InvalidToken       3500
        ├── BadRequest         3501
        ├── Stale              3502
        ├── ForceDisconnect    3503
        ├── ConnectionLimit    3504
        ├── ChannelLimit       3505
        ├── WrongProtocol      3506
        ├── SessionForbidden   3507
        ├── SessionUnavailable 3508
        └── TooManyErrors      3509
"""

from hubbub.errors.base import (
    Disconnect,
    Goodbye,
    HubbubError,
    UsageError,
)
from hubbub.errors.commands import (
    AlreadySubscribed,
    CommandError,
    ConcurrentPagination,
    Expired,
    Forbidden,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    MethodNotFound,
    NotAvailable,
    TokenExpired,
    TooManyRequests,
    Unauthorized,
    UnknownChannel,
    UnrecoverablePosition,
)
from hubbub.errors.connections import (
    HandlerFailed,
    InboxFull,
    InvalidMessage,
    MessageTooLarge,
    OriginRefused,
    ProtocolViolation,
    RateExceeded,
    Refused,
    Restarting,
    Slow,
    TooManyConnections,
    TooManyHeaders,
    Unresponsive,
    WrongMessageType,
)
from hubbub.errors.sessions import (
    BadRequest,
    CatchUpTimeout,
    ChannelLimit,
    ConnectionClosed,
    ConnectionExpired,
    ConnectionLimit,
    ForceDisconnect,
    ForceReconnect,
    InsufficientState,
    InvalidToken,
    NoPong,
    ServerError,
    SessionEnd,
    SessionForbidden,
    SessionRateExceeded,
    SessionUnavailable,
    Shutdown,
    SlowSession,
    Stale,
    StateInvalidated,
    SubscriptionExpired,
    TooManyErrors,
    WriteError,
    WrongProtocol,
)

__all__ = [
    "AlreadySubscribed",
    "BadRequest",
    "CatchUpTimeout",
    "ChannelLimit",
    "CommandError",
    "ConcurrentPagination",
    "ConnectionClosed",
    "ConnectionExpired",
    "ConnectionLimit",
    "Disconnect",
    "Expired",
    "Forbidden",
    "ForceDisconnect",
    "ForceReconnect",
    "Goodbye",
    "HandlerFailed",
    "HubbubError",
    "InboxFull",
    "InsufficientState",
    "InternalError",
    "InvalidMessage",
    "InvalidRequest",
    "InvalidToken",
    "LimitExceeded",
    "MessageTooLarge",
    "MethodNotFound",
    "NoPong",
    "NotAvailable",
    "OriginRefused",
    "ProtocolViolation",
    "RateExceeded",
    "Refused",
    "Restarting",
    "ServerError",
    "SessionEnd",
    "SessionForbidden",
    "SessionRateExceeded",
    "SessionUnavailable",
    "Shutdown",
    "Slow",
    "SlowSession",
    "Stale",
    "StateInvalidated",
    "SubscriptionExpired",
    "TokenExpired",
    "TooManyConnections",
    "TooManyErrors",
    "TooManyHeaders",
    "TooManyRequests",
    "Unauthorized",
    "UnknownChannel",
    "UnrecoverablePosition",
    "Unresponsive",
    "UsageError",
    "WriteError",
    "WrongMessageType",
    "WrongProtocol",
]
