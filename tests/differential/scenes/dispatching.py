"""What becomes of a frame: the envelope of commands, valid and broken."""

from tests.differential.scenario import Open, Scenario, Send

from .building import CONNECT, conversation, each, first, joined

SUB = '"subscribe":{"channel":"plain:x"}'
BIG = "x" * 66000

BEFORE_CONNECT = first(
    "before connect",
    {
        "empty object": "{}",
        "subscribe": '{"id":1,"subscribe":{"channel":"plain:x"}}',
        "send": '{"send":{"data":{}}}',
        "rpc": '{"id":1,"rpc":{"method":"x"}}',
        "ping": '{"id":1,"ping":{}}',
        "not JSON": "hello",
        "empty frame": "",
        "a newline": "\n",
        "null": "null",
        "a number": "1",
        "an array": "[]",
        "a string": '"connect"',
        "connect with id 0": '{"id":0,"connect":{}}',
        "connect without id": '{"connect":{}}',
        "connect is null": '{"id":1,"connect":null}',
        "connect is a string": '{"id":1,"connect":"x"}',
        "connect is an array": '{"id":1,"connect":[]}',
        "connect then subscribe in one frame": f'{CONNECT}\n{{"id":2,{SUB}}}',
        "connect then broken in one frame": f"{CONNECT}\nbroken",
        "connect with trailing newline": CONNECT + "\n",
        "connect with leading newline": "\n" + CONNECT,
        "connect with spaces": ' { "id" : 1 , "connect" : { } } ',
        "connect over several lines": '{\n"id":1,\n"connect":{}\n}',
        "connect in a binary frame": CONNECT.encode(),
        "invalid UTF-8 in a binary frame": b'{"id":1,"connect":{"name":"\xff"}}',
        "keys in capitals": '{"ID":1,"CONNECT":{}}',
        "unknown fields": '{"id":1,"method":"connect","params":{},"connect":{"x":{"y":[1,2]},"token":""},"z":null}',
        "two connects in one frame": f"{CONNECT}\n" + '{"id":2,"connect":{}}',
        "token is a number": '{"id":1,"connect":{"token":1}}',
        "token is null": '{"id":1,"connect":{"token":null}}',
        "data is kept out": '{"id":1,"connect":{"data":{"a":[1, 2]},"name":"js","version":"1.0"}}',
        "all other fields": '{"id":1,"connect":{"headers":{"a":"b"},"flag":1,"dict":"d","profile":"p"}}',
        "flag is a string": '{"id":1,"connect":{"flag":"1"}}',
        "byte order mark": "\ufeff" + CONNECT,
        "too large": f'{{"id":1,"connect":{{"name":"{BIG}"}}}}',
    },
)

ENVELOPE = each(
    "envelope",
    {
        "second connect": '{"id":2,"connect":{}}',
        "pong without ping": "{}",
        "id 0 with a subscribe is a pong": "{" + SUB + "}",
        "id null is a pong": '{"id":null}',
        "no request": '{"id":2}',
        "unknown request": '{"id":2,"shout":{}}',
        "request is null": '{"id":2,"subscribe":null}',
        "method and params of the old protocol": '{"id":2,"method":1,"params":{"channel":"plain:x"}}',
        "ping": '{"id":2,"ping":{}}',
        "send without id": '{"send":{"data":{"a":1}}}',
        "send with id": '{"id":2,"send":{"data":{"a":1}}}',
        "send without data": '{"id":2,"send":{}}',
        "rpc": '{"id":2,"rpc":{"method":"m","data":{"a":1}}}',
        "rpc without method": '{"id":2,"rpc":{"data":1}}',
        "rpc without anything": '{"id":2,"rpc":{}}',
        "two requests: subscribe and unsubscribe": f'{{"id":2,"unsubscribe":{{"channel":"plain:y"}},{SUB}}}',
        "two requests: rpc and publish": '{"id":2,"rpc":{"method":"m"},"publish":{"channel":"plain:x","data":1}}',
        "two requests: history and presence": '{"id":2,"history":{"channel":"open:e"},"presence":{"channel":"open:e"}}',
        "two requests: refresh and rpc": '{"id":2,"refresh":{"token":""},"rpc":{"method":"m"}}',
        "two requests: ping and rpc": '{"id":2,"rpc":{"method":"m"},"ping":{}}',
        "two requests: connect and rpc": '{"id":2,"rpc":{"method":"m"},"connect":{}}',
        "id as string": f'{{"id":"2",{SUB}}}',
        "id negative": f'{{"id":-2,{SUB}}}',
        "id a float": f'{{"id":2.5,{SUB}}}',
        "id a whole float": f'{{"id":2.0,{SUB}}}',
        "id with exponent": f'{{"id":2e0,{SUB}}}',
        "id largest": f'{{"id":4294967295,{SUB}}}',
        "id too large": f'{{"id":4294967296,{SUB}}}',
        "id true": f'{{"id":true,{SUB}}}',
        "id with leading zero": f'{{"id":02,{SUB}}}',
        "id twice": f'{{"id":2,"id":3,{SUB}}}',
        "request twice": '{"id":2,"rpc":{"method":"m"},"rpc":{"data":1}}',
        "same id again": ('{"id":2,"rpc":{"method":"m"}}', '{"id":2,"rpc":{"method":"m"}}'),
        "smaller id": ('{"id":9,"rpc":{"method":"m"}}', '{"id":2,"rpc":{"method":"m"}}'),
        "request key in capitals": '{"id":2,"SUBSCRIBE":{"Channel":"plain:x"}}',
        "field key in capitals": '{"id":2,"subscribe":{"CHANNEL":"plain:x"}}',
        "escaped key": '{"id":2,"sub\\u0073cribe":{"ch\\u0061nnel":"plain:x"}}',
        "escaped channel": '{"id":2,"subscribe":{"channel":"pl\\u0061in:x"}}',
        "spaces everywhere": '  {  "id"  :  2  ,  "subscribe"  :  {  "channel"  :  "plain:x"  }  }  ',
        "tab and carriage return": '{\t"id":2,\r"subscribe":{"channel":"plain:x"}}\r\n',
        "unknown fields": '{"id":2,"x":{},"subscribe":{"channel":"plain:x","y":[{}],"z":null}}',
        "trailing comma": '{"id":2,"subscribe":{"channel":"plain:x"},}',
        "single quotes": "{'id':2,'subscribe':{'channel':'plain:x'}}",
        "comment": '{"id":2/**/,"rpc":{}}',
        "cut off": '{"id":2,"subscribe":{"channel":"plain',
        "text after it": '{"id":2,"rpc":{"method":"m"}} x',
        "two on one line": '{"id":2,"rpc":{"method":"m"}}{"id":3,"rpc":{"method":"m"}}',
        "two on one line with a space": '{"id":2,"rpc":{"method":"m"}} {"id":3,"rpc":{"method":"m"}}',
        "an array of commands": '[{"id":2,"rpc":{"method":"m"}}]',
        "NUL character": '{"id":2,"rpc":{"method":"\x00"}}',
        "raw tab in a string": '{"id":2,"rpc":{"method":"a\tb"}}',
        "lone surrogate in method": '{"id":2,"rpc":{"method":"\\ud800"}}',
        "empty frame": "",
        "newline only": "\n",
        "null": "null",
        "number": "2",
        "array": "[]",
        "a word": "ping",
        "binary frame with JSON": b'{"id":2,"rpc":{"method":"m"}}',
        "binary frame without JSON": b"\x00\x01",
        "invalid UTF-8 in a binary frame": b'{"id":2,"rpc":{"method":"\xff"}}',
        "deep nesting": '{"id":2,"rpc":{"data":' + "[" * 500 + "]" * 500 + "}}",
        "too large": f'{{"id":2,"rpc":{{"method":"{BIG}"}}}}',
        "just not too large": '{"id":2,"rpc":{"method":"' + "x" * (65536 - 28) + '"}}',
        "several in a frame": '{"id":2,"rpc":{}}\n{"id":3,"subscribe":{"channel":"plain:x"}}\n{"id":4,"rpc":{}}',
        "several, one an error": '{"id":2,"rpc":{}}\n{"id":3,"presence":{"channel":"plain:x"}}\n{"id":4,"rpc":{}}',
        "several with trailing newline": '{"id":2,"rpc":{}}\n{"id":3,"rpc":{}}\n',
        "several with two trailing newlines": '{"id":2,"rpc":{}}\n{"id":3,"rpc":{}}\n\n',
        "several with an empty line between": '{"id":2,"rpc":{}}\n\n{"id":3,"rpc":{}}',
        "several with CRLF": '{"id":2,"rpc":{}}\r\n{"id":3,"rpc":{}}',
        "a spread command among several": '{"id":2,\n"rpc":{}}\n{"id":3,"rpc":{}}',
    },
)

NO_CHANNEL = [
    scenario
    for method in ("subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "sub_refresh")
    for scenario in each(
        f"no channel: {method}",
        {
            "missing": f'{{"id":2,"{method}":{{}}}}',
            "empty": f'{{"id":2,"{method}":{{"channel":"","data":1,"token":"x"}}}}',
            "null": f'{{"id":2,"{method}":{{"channel":null,"data":1}}}}',
            "a number": f'{{"id":2,"{method}":{{"channel":7}}}}',
        },
    )
]

FAILED_CONNECT = [
    Scenario(
        "envelope: any command after a refused connect",
        (
            Open("a"),
            Send("a", '{"id":1,"connect":{"token":"${token.expired}"}}'),
            Send("a", '{"id":2,"rpc":{}}', await_close=("a",), within=8),
        ),
        tokens={"expired": {"sub": "u", "exp": 1_700_000_600}},
    ),
    Scenario(
        "envelope: commands in the frame of a refused connect",
        (Open("a"), Send("a", '{"id":1,"connect":{"token":"${token.expired}"}}\n{"id":2,"rpc":{}}', wait={"a": 1})),
        tokens={"expired": {"sub": "u", "exp": 1_700_000_600}},
    ),
    Scenario(
        "envelope: reply, then broken, in one frame",
        (*joined(), Send("a", '{"id":2,"subscribe":{"channel":"plain:x"}}\nbroken', await_close=("a",))),
    ),
]

INVALID_TEXT = [
    Scenario(
        "envelope: invalid UTF-8 in a text frame",
        (*joined(), Send("a", b'{"id":2,"rpc":{"method":"\xff"}}', as_text=True)),
    ),
]

OK_AFTER_ERROR = [
    conversation(
        "envelope: a connection lives on after errors",
        '{"id":2,"subscribe":{"channel":"nowhere:x"}}',
        '{"id":3,"presence":{"channel":"plain:x"}}',
        '{"id":4,"subscribe":{"channel":"plain:x"}}',
    )
]

SCENARIOS = [*BEFORE_CONNECT, *ENVELOPE, *NO_CHANNEL, *FAILED_CONNECT, *INVALID_TEXT, *OK_AFTER_ERROR]
