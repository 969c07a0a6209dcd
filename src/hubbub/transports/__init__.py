"""How bytes reach one peer: any ASGI server, or the fast path inside uvicorn."""
