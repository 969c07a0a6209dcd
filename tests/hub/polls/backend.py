"""An HTTP backend of polled values, with what the test makes it answer."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Backend:
    """Serves on a free port of this machine, in threads of its own."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"result":{}}'
        self.pause = 0.0
        """Seconds before the answer begins."""
        self.trickle = 0.0
        """Seconds after each of its bytes."""
        self.requests: list[tuple[str, str, bytes]] = []
        """Path and query, content type, and body."""
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.requests.append((self.path, self.headers["Content-Type"], body))
                time.sleep(backend.pause)
                self.send_response(backend.status)
                self.send_header("Content-Length", str(len(backend.body)))
                self.end_headers()
                backend._write(self)

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/refresh?key=1"

    def _write(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            if not self.trickle:
                handler.wfile.write(self.body)
                return
            for byte in self.body:
                handler.wfile.write(bytes((byte,)))
                handler.wfile.flush()
                time.sleep(self.trickle)
        except OSError:
            """The hub has gone."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
