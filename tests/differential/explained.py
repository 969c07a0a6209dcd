"""Differences from the reference that are meant, each with its reason; none may be left that no longer occurs."""

from .compare import ABSENT
from .explanation import Explanation

HTTP = (
    Explanation(
        "a page's origin is allowed by name; there is nothing to say where no page asks",
        ("*",),
        ("*.headers.access-control-allow-origin",),
        recorded="",
        ours=ABSENT,
    ),
    Explanation(
        "credentials are allowed together with an origin, and not where no page asks",
        ("*",),
        ("*.headers.access-control-allow-credentials",),
        recorded="true",
        ours=ABSENT,
    ),
    Explanation(
        "ours are marked as plain text, which browsers do not take for anything else",
        ("handshake: *", "API *", "streams by HTTP: uni_websocket by GET"),
        ("*.headers.x-content-type-options",),
        recorded="nosniff",
        ours=ABSENT,
    ),
    Explanation(
        "405 has to say which methods there are (RFC 9110 §15.5.6)",
        ("streams by HTTP: *", "API calling: *", "handshake: upgrade by POST"),
        ("*.headers.allow",),
        recorded=ABSENT,
    ),
    Explanation(
        "the app's router answers what is not there, and with what method, as for all else in the app",
        (
            "API calling: unknown method*",
            "API calling: in capitals",
            "API calling: nothing there",
            "API calling: root",
            "API calling: GET*",
            "API calling: PUT",
            "API calling: OPTIONS",
        ),
        ("*.http.headers.content-type", "*.http.body"),
    ),
    Explanation(
        "FastAPI redirects to the address without the slash, unless the app switches that off",
        ("API calling: trailing slash",),
        ("*.http.status", "*.http.headers.content-type", "*.http.body"),
    ),
    Explanation(
        "a page may stream by POST from another origin: its browser asks by OPTIONS first",
        ("streams by HTTP: sse OPTIONS", "streams by HTTP: uni_sse OPTIONS"),
        ("*.http.status", "*.http.headers.access-control-max-age", "*.http.headers.access-control-allow-methods"),
    ),
    Explanation(
        "an origin that is not allowed gets no session and no answer that its page could use",
        ("http_stream: forbidden origin", "sse: forbidden origin", "streams by HTTP: emulation forbidden origin"),
    ),
    Explanation(
        "a refused handshake has its status; ASGI has no body for it",
        ("handshake: *", "uni_ws: forbidden origin"),
        ("*.opened.a.body",),
        ours="",
    ),
    Explanation(
        "an unknown version of WebSocket is 426 (RFC 6455 §4.4)",
        ("handshake: version 12",),
        ("*.http.status",),
        recorded="400",
        ours="426",
    ),
    Explanation(
        "apps have health checks of their own, and no SDK asks for /connection/init",
        ("API calling: health*", "API calling: init*"),
    ),
)

JSON = (
    Explanation(
        "keys have the spelling of the protocol",
        (
            "before connect: keys in capitals",
            "envelope: request key in capitals",
            "envelope: field key in capitals",
            "API calling: keys in capitals",
        ),
    ),
    Explanation(
        "a line is one JSON value, and nothing behind it is left out in silence",
        ("envelope: text after it", "envelope: two on one line*", "emulation: text after it"),
    ),
    Explanation(
        "text is UTF-8, or not text",
        (
            "before connect: invalid UTF-8 in a binary frame",
            "envelope: invalid UTF-8 in *",
            "API calling: invalid UTF-8",
            "protobuf: channel of invalid UTF-8",
        ),
    ),
    Explanation(
        "dictionaries and their flag are not offered, so the field is not read",
        ("before connect: flag is a string",),
    ),
    Explanation(
        "a number beyond 64 bits is an offset that the channel never had",
        ("subscribe with: offset too large",),
    ),
    Explanation(
        "null is no request, where its fields are all that there is",
        ("API calling: null", "uni_http_stream: null", "uni_sse: null", "uni_ws: null *"),
    ),
    Explanation(
        "the data of emulation is the text of commands; anything else is refused before the node is looked at",
        (
            "emulation: no data",
            "emulation: data *",
            "streams by HTTP: emulation without anything",
            "streams by HTTP: emulation null",
            "streams by HTTP: emulation data an object",
        ),
    ),
)

SESSIONS = (
    Explanation(
        "no setting adds the time of the server to the answer",
        ("timers: *",),
        ("*.connect.time",),
        ours=ABSENT,
    ),
    Explanation(
        "the reason of a close says how large a message may be",
        ("before connect: too large", "envelope: too large"),
        ("*.closed.a.reason",),
        recorded="",
    ),
    Explanation(
        "who does not go after an error is told so, and not cut off",
        ("envelope: any command after a refused connect",),
        ("step[2].closed.a.code", "step[2].closed.a.reason"),
        recorded="*",
    ),
    Explanation(
        "a token that says its info wrongly is invalid: trying again does not mend it",
        ("connect: token: broken b64info", "uni_*: broken b64info"),
    ),
    Explanation(
        "a client that asks for a subprotocol gets its answer, or browsers close the connection",
        ("uni_ws: subprotocol",),
    ),
    Explanation(
        "who is sent its end as a push is sent that of a broken first message too",
        ("uni_ws: broken first message", "uni_ws: empty first message"),
        ("*.messages",),
        recorded=ABSENT,
    ),
    Explanation(
        "what is wrong with the connect is told by the close code, which pages can read, unlike a status",
        ("uni_ws: broken query",),
    ),
    Explanation(
        "a frame ends where a message ends",
        ("protobuf: whole, then text",),
        ("step[2].closed",),
    ),
    Explanation(
        "a new token with channels that are not declared names others than the session is in: it has to come anew",
        ("refresh: with channels of unknown namespace",),
    ),
    Explanation(
        "an expired token is no renewal; SDKs get a new one for error 109",
        ("sub_refresh: expired",),
    ),
)

CHANNELS = (
    Explanation(
        "namespaces are patterns of ours, and a pattern's parameter is never empty",
        ("subscribe as user: empty namespace", "subscribe as user: private prefix alone"),
    ),
    Explanation(
        "what a name may be is said by patterns and handlers; there is no channel_regex",
        (
            "subscribe as user: against the regex",
            "subscribe as user: regex *",
            "subscribe as user: private against the regex",
            "subscribe token: valid against the regex",
            "publish: against the regex",
        ),
    ),
    Explanation(
        "what data may be is said by the type of an on_publish handler; there is no publication_data_format",
        ("publish to jsonobject: *", "publish to binary: no data", "protobuf: to a namespace of JSON"),
    ),
    Explanation(
        "data that is published over HTTP may be anything; there is no publication_data_format",
        ("API publish: errors",),
        ("step[14].http.body.*", "step[15].http.body.*", "step[16].http.body.*"),
    ),
    Explanation(
        "data that is published over HTTP may be anything; there is no publication_data_format",
        ("API broadcast",),
        ("step[11].http.body.result.responses[0].*",),
    ),
    Explanation(
        "no command may name a channel that is too long to subscribe to",
        (
            "publish: name too long",
            "presence: name too long",
            "presence_stats: name too long",
            "history: name too long",
        ),
        ("step[2].messages.a[0].*",),
    ),
    Explanation(
        "no command may name a channel that is too long to subscribe to",
        ("API publish: errors",),
        ("step[13].http.body.*",),
    ),
    Explanation(
        "who is nobody is no user that a channel is limited to",
        ("subscribe anonymously: user-limited", "subscribe anonymously: user-limited of nobody and a user"),
    ),
    Explanation(
        "a type that the protocol does not have is refused",
        ("subscribe with: type 5", "subscribe with: type -1", "publish: type 9"),
    ),
    Explanation(
        "everything before an offset that is not reached yet is everything",
        ("history: reverse",),
        ("step[12].messages.a[0].history.publications",),
        recorded="[]",
    ),
    Explanation(
        "the error says what is wrong with the filter",
        ("tags filter: *", "map refused: broken filter"),
        ("*.error.message",),
        recorded='"bad request"',
        ours='"bad request: *',
    ),
    Explanation(
        "a filter is kept, and what it leaves out is no base for deltas; the reference forgets it",
        ("tags filter: with delta",),
        ("*.delta", "*.data", "*.messages"),
    ),
    Explanation(
        "those with deltas are told the epoch with the first publication too, as the reference does for Protobuf alone",
        (
            "delta: *",
            "http_stream: delta",
            "sse: delta",
            "timers: token for any channel",
            "map: delta",
            "tags filter: with delta",
        ),
        ("*.epoch",),
        recorded=ABSENT,
    ),
    Explanation(
        "delta=True allows deltas and makes them, whoever publishes, and for all who asked for them",
        ("delta: by the publisher",),
        ("*.push.pub.delta",),
        recorded=ABSENT,
    ),
    Explanation(
        "the first publication after a recovery is in full where no other subscriber kept its base in memory",
        ("delta: recovery",),
        ("*.push.pub.delta",),
        recorded="true",
        ours=ABSENT,
    ),
    Explanation(
        "a delta ends with a character, or is none: the reference's cannot be applied",
        ("delta: a boundary within a character",),
        ("step[4].messages.a[0].push.pub.data",),
    ),
)

API = (
    Explanation(
        "POST /api with method and params is deprecated by the reference itself",
        ("API calling: legacy*",),
    ),
    Explanation(
        "a user is named: without one, the reference takes all who are anonymous",
        (
            "API subscribe: options",
            "API unsubscribe: a subscription of the client",
            "API disconnect: no user",
            "API disconnect: empty user",
            "API refresh: no user",
            "API errors: *",
        ),
        ("*.http.body.result", "*.http.body.error"),
        recorded="*",
    ),
    Explanation(
        "unsubscribe without a channel is from all channels, as documented; the reference does nothing",
        ("API subscribe: options",),
        (
            "step[24].messages.a*",
            "step[25].messages",
            "step[26].messages",
            "step[27].http.body.result.presence.uuid-1",
        ),
    ),
    Explanation(
        "a client is not told of leaving a channel that it is not in",
        ("API subscribe and unsubscribe",),
        ("step[8].messages",),
        ours=ABSENT,
    ),
    Explanation(
        "what is wrong is said, instead of an internal error",
        ("API subscribe: expire_at passed",),
        ("step[2].http.body.error.code", "step[2].http.body.error.message"),
    ),
    Explanation(
        "an expiry in the past is wrong whether the user is there or not",
        ("API calling: transport errors: 100",),
    ),
    Explanation(
        "what is published to a map has a key; the reference says that it was, and forgets it",
        ("API broadcast",),
        ("step[1].http.body.result.responses[3].*",),
    ),
    Explanation(
        "what was missed since recover_since is sent, behind the subscribe push",
        ("API subscribe: recover_since",),
        ("step[6].messages.a[1]",),
        recorded=ABSENT,
    ),
    Explanation(
        "a custom code has a reason, or SDKs do not look at it",
        ("API disconnect: code without reason",),
        ("step[4].closed.a.reason", "step[4].closed.b.reason"),
        recorded="",
    ),
    Explanation(
        "0 is no code: what is wrong is said, and nobody is cut off",
        ("API disconnect: code 0",),
    ),
    Explanation(
        "a version that was once newest stays it, whatever is published without a version in between",
        ("API publish: versions",),
        ("*.http.body.result.*",),
    ),
    Explanation(
        "nothing is before offset 0, and that is no internal error",
        ("API history",),
        ("step[11].http.body.error.code", "step[11].http.body.error.message"),
    ),
    Explanation(
        "patterns of channels are those of Python's fnmatch, where a brace is a brace and a lone bracket too",
        ("API channels",),
        ("step[10].http.body.result.channels.*", "step[12].http.body.error", "step[12].http.body.result"),
    ),
    Explanation(
        "metrics are not part of info",
        ("API info",),
        ("*.nodes[0].metrics",),
        ours=ABSENT,
    ),
    Explanation(
        "errors become statuses for callers that ask for it in their request, not for all of a server",
        ("timers: API errors are statuses",),
    ),
)

MAPS = (
    Explanation(
        "deltas of an unknown kind are refused as for streams",
        ("map refused: unknown delta",),
    ),
    Explanation(
        "a position that is not reached yet cannot be recovered from",
        ("map recovery",),
        ("step[10].messages.a[0].subscribe", "step[10].messages.a[0].error"),
    ),
    Explanation(
        "the reference fails with an internal error, and ours goes on",
        ("map: unsubscribe between pages",),
    ),
    Explanation(
        "a map without a stream takes versions too; the reference fails with an internal error",
        ("map API: ephemeral",),
        ("step[4].http.body.*", "step[5].http.body.*"),
    ),
    Explanation(
        "who leaves is told nothing more of the channel, not even that its own entry is gone",
        ("map publish: key of the client",),
        ("step[10].messages.b*",),
    ),
    Explanation(
        "the data of a removed entry is null, which SDKs can read; an empty text is no JSON",
        ("map: delta",),
        ("step[7].messages.a[0].push.pub.data", "step[10].messages.a[0].subscribe.publications[3].data"),
        ours='"null"',
    ),
    Explanation(
        "data is answered as it was published; the reference takes the spaces out",
        ("map API: state and stream",),
        ("*.entries[0].data",),
        recorded='{"v":1}',
        ours='{"v": 1}',
    ),
    Explanation(
        "entries do not have the time of their publication",
        ("map API: *",),
        ("*.entries[*].time",),
        ours=ABSENT,
    ),
)

POLLS = (
    Explanation(
        "a channel that is not declared is unknown, whatever it is asked for",
        ("poll subscribe: unknown namespace",),
        ("*.error.code", "*.error.message"),
    ),
    Explanation(
        "keys that are tracked at once are asked for at once",
        ("poll versioned: first data, changes, removal",),
        ("step[5].backend.items",),
    ),
)

EXPLAINED = (*HTTP, *JSON, *SESSIONS, *CHANNELS, *API, *MAPS, *POLLS)
