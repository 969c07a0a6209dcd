"""A program that starts uvicorn by itself, as many do: `own_runner.py APP PORT WORKERS`."""

import sys

import uvicorn

if __name__ == "__main__":
    app, port, workers = sys.argv[1:]
    uvicorn.run(app, port=int(port), workers=int(workers))
