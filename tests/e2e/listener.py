"""A client process that prints what it hears, one message a line: something to freeze with SIGSTOP."""

import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def listen(url: str) -> None:
    with connect(url) as websocket:
        print("joined", flush=True)
        try:
            for message in websocket:
                print(message, flush=True)
        except ConnectionClosed as error:
            print(f"closed {error.rcvd.code if error.rcvd else 1006}", flush=True)


if __name__ == "__main__":
    listen(sys.argv[1])
