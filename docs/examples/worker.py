"""A worker in a process of its own. Run: python worker.py 127.0.0.1:8000 42"""

import http.client
import json
import os
import sys


def publish(server: str, job: str, data: object) -> None:
    """Publishes through the app's own route; raises OSError where nobody took it."""
    token = os.environ.get("WORKER_TOKEN", "worker-token")
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection = http.client.HTTPConnection(server, timeout=5)
    try:
        connection.request("POST", f"/internal/publish/jobs/{job}", json.dumps(data), headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 202:
        raise OSError(f"the server answered {status}")


if __name__ == "__main__":
    for percent in (0, 50, 100):
        publish(sys.argv[1], sys.argv[2], {"percent": percent})
