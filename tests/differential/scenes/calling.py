"""The HTTP API: calling convention, every method, errors, idempotency, versions."""

from tests.differential.scenario import Headers, Http, Scenario, Send, api

from .building import command, connect_as, joined

KEY = {"X-API-Key": "api_key"}
TRANSPORT = {**KEY, "X-Centrifugo-Error-Mode": "transport"}
PUBLISH = '{"channel":"plain:c","data":1}'


def _calls(name: str, *calls: tuple[str, str]) -> Scenario:
    return Scenario(f"API {name}", tuple(api(method, body) for method, body in calls))


def _once(name: str, method: str, path: str, body: str | bytes, headers: Headers) -> Scenario:
    return Scenario(f"API calling: {name}", (Http(method, path, body, headers),))


CALLING = [
    _once("X-API-Key", "POST", "/api/publish", PUBLISH, KEY),
    _once("Authorization", "POST", "/api/publish", PUBLISH, {"Authorization": "apikey api_key"}),
    _once("Authorization in capitals", "POST", "/api/publish", PUBLISH, {"Authorization": "APIKEY api_key"}),
    _once("Authorization bearer", "POST", "/api/publish", PUBLISH, {"Authorization": "Bearer api_key"}),
    _once("Authorization without scheme", "POST", "/api/publish", PUBLISH, {"Authorization": "api_key"}),
    _once("query", "POST", "/api/publish?api_key=api_key", PUBLISH, {}),
    _once("no key", "POST", "/api/publish", PUBLISH, {}),
    _once("wrong key", "POST", "/api/publish", PUBLISH, {"X-API-Key": "x"}),
    _once("empty key", "POST", "/api/publish", PUBLISH, {"X-API-Key": ""}),
    _once("wrong header, right query", "POST", "/api/publish?api_key=api_key", PUBLISH, {"X-API-Key": "x"}),
    _once(
        "wrong X-API-Key, right Authorization",
        "POST",
        "/api/publish",
        PUBLISH,
        {"X-API-Key": "x", "Authorization": "apikey api_key"},
    ),
    _once("GET", "GET", "/api/publish", "", KEY),
    _once("GET without key", "GET", "/api/publish", "", {}),
    _once("PUT", "PUT", "/api/publish", PUBLISH, KEY),
    _once("OPTIONS", "OPTIONS", "/api/publish", "", KEY),
    _once("unknown method", "POST", "/api/shout", "{}", KEY),
    _once("unknown method without key", "POST", "/api/shout", "{}", {}),
    _once("trailing slash", "POST", "/api/publish/", PUBLISH, KEY),
    _once("in capitals", "POST", "/api/Publish", PUBLISH, KEY),
    _once("text", "POST", "/api/publish", PUBLISH, {**KEY, "Content-Type": "text/plain"}),
    _once("form", "POST", "/api/publish", PUBLISH, {**KEY, "Content-Type": "application/x-www-form-urlencoded"}),
    _once("empty body", "POST", "/api/publish", "", KEY),
    _once("empty body, no request needed", "POST", "/api/info", "", KEY),
    _once("not JSON", "POST", "/api/publish", "hello", KEY),
    _once("cut off", "POST", "/api/publish", PUBLISH[:-1], KEY),
    _once("null", "POST", "/api/publish", "null", KEY),
    _once("an array", "POST", "/api/publish", "[]", KEY),
    _once("text after it", "POST", "/api/publish", PUBLISH + " x", KEY),
    _once("two bodies", "POST", "/api/publish", PUBLISH + PUBLISH, KEY),
    _once("newline after it", "POST", "/api/publish", PUBLISH + "\n", KEY),
    _once("over several lines", "POST", "/api/publish", PUBLISH.replace(",", ",\n  "), KEY),
    _once("keys in capitals", "POST", "/api/publish", PUBLISH.replace("channel", "CHANNEL"), KEY),
    _once("unknown fields", "POST", "/api/publish", '{"x":{},"channel":"plain:c","data":1}', KEY),
    _once("channel a number", "POST", "/api/publish", '{"channel":1,"data":1}', KEY),
    _once("invalid UTF-8", "POST", "/api/publish", b'{"channel":"plain:\xff","data":1}', KEY),
    _once("legacy", "POST", "/api", '{"method":"publish","params":{"channel":"plain:c","data":1}}', KEY),
    _once("legacy with id", "POST", "/api", '{"id":1,"method":"publish","params":{"channel":"plain:c","data":1}}', KEY),
    _once("legacy, two", "POST", "/api", '{"method":"info","params":{}}\n{"method":"publish","params":{}}', KEY),
    _once("legacy, unknown method", "POST", "/api", '{"method":"shout","params":{}}', KEY),
    _once("legacy, no method", "POST", "/api", "{}", KEY),
    _once("legacy, empty", "POST", "/api", "", KEY),
    _once("legacy without key", "POST", "/api", "{}", {}),
    _once("transport errors: none", "POST", "/api/publish", PUBLISH, TRANSPORT),
    _once("transport errors: 102", "POST", "/api/publish", '{"channel":"nowhere:c","data":1}', TRANSPORT),
    _once("transport errors: 107", "POST", "/api/publish", '{"channel":"","data":1}', TRANSPORT),
    _once("transport errors: 108", "POST", "/api/presence", '{"channel":"plain:c"}', TRANSPORT),
    _once("transport errors: 104", "POST", "/api/rpc", '{"method":"nothing"}', TRANSPORT),
    _once(
        "transport errors: 112",
        "POST",
        "/api/history",
        '{"channel":"open:te","since":{"offset":1,"epoch":"x"}}',
        TRANSPORT,
    ),
    _once(
        "transport errors: 100", "POST", "/api/subscribe", '{"user":"u","channel":"plain:c","expire_at":5}', TRANSPORT
    ),
    _once("transport errors: in a batch", "POST", "/api/batch", '{"commands":[{"publish":{"channel":""}}]}', TRANSPORT),
    _once("transport errors: not JSON", "POST", "/api/publish", "x", TRANSPORT),
    _once("health", "GET", "/health", "", {}),
    _once("health by POST", "POST", "/health", "", {}),
    _once("init", "GET", "/connection/init", "", {}),
    _once("init from an origin", "GET", "/connection/init", "", {"Origin": "https://allowed.example"}),
    _once("nothing there", "GET", "/nothing", "", {}),
    _once("root", "GET", "/", "", {}),
]

PUBLISHING = [
    Scenario(
        "API publish: to a subscriber",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="open:ap")),
            *(
                api("publish", f'{{"channel":"open:ap",{text}}}')
                for text in (
                    '"data":{ "a" : 1 }',
                    '"data":"é\\u00e9<>&"',
                    '"data":{\n  "a": 1\n}',
                    '"data":"line\\nbreak"',
                    '"data":null',
                    '"data":{}',
                    '"data":12345678901234567890.5',
                    '"b64data":"eyJiIjogMX0="',
                    '"b64data":"*"',
                    '"data":1,"b64data":"Mg=="',
                    '"data":1,"tags":{"b":"2"}',
                    '"data":1,"tags":{}',
                    '"data":1,"tags":{"a":1}',
                    '"data":1,"skip_history":true',
                    '"data":1,"info":{"user":"x"}',
                    '"data":1,"delta":true',
                    '"b64data":"eyJhIjoKMX0="',
                    '"b64data":"bm90IEpTT04="',
                )
            ),
        ),
    ),
    _calls(
        "publish: errors",
        ("publish", '{"channel":"plain:e"}'),
        ("publish", '{"channel":"plain:e","data":null}'),
        ("publish", '{"channel":"plain:e","b64data":""}'),
        ("publish", '{"data":1}'),
        ("publish", "{}"),
        ("publish", '{"channel":"nowhere:e","data":1}'),
        ("publish", '{"channel":"nowhere:e"}'),
        ("publish", '{"channel":"board:e","data":1}'),
        ("publish", '{"channel":"poll:e","data":1}'),
        ("publish", '{"channel":"closed:e","data":1}'),
        ("publish", '{"channel":"regex:E","data":1}'),
        ("publish", '{"channel":"plain:é","data":1}'),
        ("publish", '{"channel":"$plain:e","data":1}'),
        ("publish", '{"channel":"plain:' + "e" * 300 + '","data":1}'),
        ("publish", '{"channel":"jsonobject:e","data":1}'),
        ("publish", '{"channel":"json:e","b64data":"eA=="}'),
        ("publish", '{"channel":"binary:e"}'),
        ("publish", '{"channel":"binary:e","b64data":"/w=="}'),
    ),
    _calls(
        "publish: idempotency",
        ("publish", '{"channel":"rec:i","data":1,"idempotency_key":"k"}'),
        ("publish", '{"channel":"rec:i","data":2,"idempotency_key":"k"}'),
        ("publish", '{"channel":"rec:i2","data":2,"idempotency_key":"k"}'),
        ("publish", '{"channel":"rec:i","data":3,"idempotency_key":"l"}'),
        ("publish", '{"channel":"rec:i","data":4,"idempotency_key":""}'),
        ("publish", '{"channel":"plain:i","data":1,"idempotency_key":"k"}'),
        ("publish", '{"channel":"plain:i","data":1,"idempotency_key":"k"}'),
        ("history", '{"channel":"rec:i","limit":-1}'),
    ),
    _calls(
        "publish: versions",
        ("publish", '{"channel":"rec:v","data":1,"version":3}'),
        ("publish", '{"channel":"rec:v","data":2,"version":3}'),
        ("publish", '{"channel":"rec:v","data":3,"version":2}'),
        ("publish", '{"channel":"rec:v","data":4,"version":4}'),
        ("publish", '{"channel":"rec:v","data":5}'),
        ("publish", '{"channel":"rec:v","data":6,"version":4}'),
        ("publish", '{"channel":"rec:v","data":7,"version":1,"version_epoch":"e"}'),
        ("publish", '{"channel":"rec:v","data":8,"version":1,"version_epoch":"e"}'),
        ("publish", '{"channel":"rec:v","data":9,"version":9}'),
        ("publish", '{"channel":"plain:v","data":1,"version":9}'),
        ("publish", '{"channel":"plain:v","data":1,"version":9}'),
        ("publish", '{"channel":"rec:v","data":1,"version":-1}'),
        ("publish", '{"channel":"rec:v","data":1,"version":"1"}'),
        ("history", '{"channel":"rec:v","limit":-1}'),
    ),
    _calls(
        "broadcast",
        ("broadcast", '{"channels":["rec:b1","plain:b2"],"data":1}'),
        ("broadcast", '{"channels":["rec:b1","nowhere:b","","board:b","plain:b2"],"data":2,"tags":{"a":"b"}}'),
        ("broadcast", '{"channels":["rec:b1","rec:b3"],"data":4,"idempotency_key":"k"}'),
        ("broadcast", '{"channels":["rec:b1","rec:b3"],"data":5,"idempotency_key":"k"}'),
        ("broadcast", '{"channels":["rec:b1"],"data":6,"skip_history":true}'),
        ("broadcast", '{"channels":["rec:b1"]}'),
        ("broadcast", '{"channels":["rec:b1"],"b64data":"*"}'),
        ("broadcast", '{"channels":[],"data":1}'),
        ("broadcast", '{"data":1}'),
        ("broadcast", '{"channels":null,"data":1}'),
        ("broadcast", '{"channels":"rec:b1","data":1}'),
        ("broadcast", '{"channels":["jsonobject:b","rec:b1"],"data":7}'),
    ),
]

READING = [
    _calls(
        "presence, presence_stats: of nobody, and errors",
        *(
            (method, body)
            for method in ("presence", "presence_stats")
            for body in (
                '{"channel":"open:nobody"}',
                '{"channel":"plain:x"}',
                '{"channel":"nowhere:x"}',
                '{"channel":""}',
                "{}",
                '{"channel":"board:x"}',
                '{"channel":"open:é"}',
            )
        ),
    ),
    Scenario(
        "API presence: of two",
        (
            *joined("a", connect_as("u")),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="open:two")),
            Send("b", command(2, "subscribe", channel="open:two")),
            api("presence", '{"channel":"open:two"}'),
            api("presence_stats", '{"channel":"open:two"}'),
            api("channels", '{"pattern":"open:two"}'),
        ),
    ),
    _calls(
        "history",
        *(("publish", f'{{"channel":"open:hist","data":{{"n":{n}}},"tags":{{"n":"{n}"}}}}') for n in (1, 2, 3)),
        *(
            ("history", text)
            for text in (
                '{"channel":"open:hist"}',
                '{"channel":"open:hist","limit":0}',
                '{"channel":"open:hist","limit":2}',
                '{"channel":"open:hist","limit":-1}',
                '{"channel":"open:hist","limit":2,"reverse":true}',
                '{"channel":"open:hist","limit":2,"since":{"offset":1,"epoch":"${api.epoch}"}}',
                '{"channel":"open:hist","limit":2,"since":{"offset":1}}',
                '{"channel":"open:hist","limit":2,"since":{"offset":1,"epoch":"wrong"}}',
                '{"channel":"open:hist","limit":2,"since":{"offset":0},"reverse":true}',
                '{"channel":"open:hist","limit":2,"since":{"offset":2},"reverse":true}',
                '{"channel":"open:hist","limit":"2"}',
                '{"channel":"open:never","limit":2}',
                '{"channel":"plain:x","limit":2}',
                '{"channel":"nowhere:x","limit":2}',
                '{"channel":"","limit":2}',
                '{"channel":"board:x","limit":2}',
            )
        ),
        ("history_remove", '{"channel":"open:hist"}'),
        ("history_remove", '{"channel":"open:never2"}'),
        ("history_remove", '{"channel":"plain:x"}'),
        ("history_remove", '{"channel":"nowhere:x"}'),
        ("history_remove", "{}"),
        ("history", '{"channel":"open:hist","limit":-1}'),
        ("publish", '{"channel":"open:hist","data":4}'),
        ("history", '{"channel":"open:hist","limit":-1}'),
    ),
    Scenario(
        "API channels",
        (
            *joined("a"),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="plain:glob:one")),
            Send("b", command(2, "subscribe", channel="plain:glob:one")),
            Send("b", command(3, "subscribe", channel="plain:glob:two")),
            api("channels", '{"pattern":"plain:glob:*"}'),
            api("channels", '{"pattern":"plain:glob:o?e"}'),
            api("channels", '{"pattern":"plain:glob:[a-o]*"}'),
            api("channels", '{"pattern":"plain:glob:{one,two}"}'),
            api("channels", '{"pattern":"nothing*"}'),
            api("channels", '{"pattern":"["}'),
            api("channels", '{"pattern":1}'),
        ),
    ),
    _calls("info", ("info", "{}")),
    _calls(
        "rpc",
        ("rpc", '{"method":"nothing"}'),
        ("rpc", '{"method":"nothing","params":{"a":1}}'),
        ("rpc", '{"method":""}'),
        ("rpc", "{}"),
    ),
]

BATCHES = [
    _calls(
        "batch",
        (
            "batch",
            '{"commands":[{"publish":{"channel":"rec:ba","data":1}},{"history":{"channel":"rec:ba","limit":5}}]}',
        ),
        (
            "batch",
            '{"commands":[{"publish":{"channel":"nowhere:ba","data":1}},{"publish":{"channel":"rec:ba","data":2}}]}',
        ),
        (
            "batch",
            '{"commands":[{"broadcast":{"channels":["rec:ba"],"data":1}},{"subscribe":{"user":"x","channel":"plain:x"}},'
            '{"unsubscribe":{"user":"x","channel":"plain:x"}},{"disconnect":{"user":"x"}},{"refresh":{"user":"x"}},'
            '{"presence":{"channel":"open:x"}},{"presence_stats":{"channel":"open:x"}},{"history_remove":{"channel":"rec:ba"}},'
            '{"channels":{"pattern":"nothing"}},{"rpc":{"method":"nothing"}}]}',
        ),
        (
            "batch",
            '{"commands":[{"publish":{"channel":"rec:bp","data":1}},{"presence":{"channel":"nowhere:x"}}],"parallel":true}',
        ),
        ("batch", '{"commands":[]}'),
        ("batch", "{}"),
        ("batch", '{"commands":[{}]}'),
        ("batch", '{"commands":[{"shout":{}}]}'),
        ("batch", '{"commands":[{"publish":{"channel":"plain:x","data":1},"presence":{"channel":"open:x"}}]}'),
        ("batch", '{"commands":[{"publish":null}]}'),
        ("batch", '{"commands":[{"batch":{"commands":[]}}]}'),
        ("batch", '{"commands":{}}'),
        (
            "batch",
            '{"commands":[{"publish":{"channel":"rec:ba","data":1,"idempotency_key":"b"}},{"publish":{"channel":"rec:ba","data":1,"idempotency_key":"b"}}]}',
        ),
        (
            "batch",
            '{"commands":[{"map_publish":{"channel":"board:ba","key":"k","data":1}},{"map_read_state":{"channel":"board:ba"}},{"map_stats":{"channel":"board:ba"}}]}',
        ),
    ),
]


def _refused(method: str) -> list[tuple[str, str]]:
    return [(method, "{}"), (method, '{"channel":"nowhere:x"}'), (method, '{"channel":""}')]


EMPTY = [_calls(f"errors: {m}", *_refused(m)) for m in ("subscribe", "unsubscribe", "disconnect", "refresh")]

SCENARIOS = [*CALLING, *PUBLISHING, *READING, *BATCHES, *EMPTY]
