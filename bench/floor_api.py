"""What FastAPI and uvicorn cost alone: a cluster that is answered from memory, and streams on which nothing happens.

``python -m bench.floor_api PORT`` serves until SIGTERM.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator

import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from bench.stub_cluster import stub_state
from model.cluster import ClusterView
from starter.client import shapes
from starter.client.shapes import ClusterShape

app = FastAPI()
_VIEW = ClusterView(state=stub_state("0" * 16))


@app.get("/cluster")
async def show_cluster() -> ClusterShape:
    """Answer what the API does about a cluster."""
    return shapes.cluster(_VIEW)


@app.get("/events")
async def events() -> StreamingResponse:
    """Begin a stream, and say nothing more."""

    async def lines() -> AsyncGenerator[str]:
        yield "retry: 2000\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(lines(), media_type="text/event-stream")


def main() -> None:
    """Serve on the port in the first argument, as the API does: bench/ measures nothing of Nagle's algorithm."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
