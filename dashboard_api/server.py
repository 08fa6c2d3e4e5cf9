"""How the app is served: uvicorn with uvloop and httptools (docs/adr/0010-dashboard-server-and-charts.md)."""

import asyncio
import shutil
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from dashboard_api.services import Services
from dashboard_api.siblings import Siblings
from dashboard_api.workers import BACKLOG, Post
from dbconnect import Settings

# Longer than the 60 s of common load balancers, so that they, not this side, end an idle connection.
_KEEP_ALIVE_S = 65
# The server ticks ten times a second; a connection that was closed has five seconds to take what it was sent.
_TICKS_PER_LOOK = 10
_LINGER_LOOKS = 5


class _Server(uvicorn.Server):
    """A server that no stream holds up: neither one that would go on for as long as a job does, nor one that nobody reads."""

    def __init__(self, config: uvicorn.Config, services: Services, post: Post | None) -> None:
        super().__init__(config)
        self._services = services
        self._closing: dict[Any, int] = {}
        self._post = post
        self._siblings: Siblings | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        if self._post is not None:
            metrics = self._services.metrics
            self._siblings = Siblings(self._post.number, self._post.telling, self._post.paths, metrics.registry)
            await self._siblings.open()
            metrics.siblings = self._siblings
            asyncio.get_running_loop().add_reader(self._post.parent, self._orphaned)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Cut off those who don't take the last of what they were sent: their connections would stay for ever."""
        if counter % _TICKS_PER_LOOK == 0:
            lingering = {of: self._closing.get(of, 0) + 1 for of in self._connections() if of.transport.is_closing()}
            for connection, looks in lingering.items():
                if looks > _LINGER_LOOKS:
                    connection.transport.abort()
            self._closing = lingering
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, end the streams, and let everything else finish."""
        self._services.jobs.feed.close()
        for connection in self._connections():
            if connection.transport.is_closing():
                connection.transport.abort()
        await super().shutdown(sockets)
        if self._siblings is not None:
            self._siblings.close()

    def _orphaned(self) -> None:
        # Nobody would replace or end this process, and it would keep the port from the next parent.
        if self._post is not None:
            asyncio.get_running_loop().remove_reader(self._post.parent)
            # The parent would have done so at its end.
            shutil.rmtree(self._post.paths[0].parent, ignore_errors=True)
        self.should_exit = True

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def make_server(app: FastAPI, settings: Settings, post: Post | None = None) -> uvicorn.Server:
    """Make the server; `run` serves until SIGTERM or SIGINT.

    Args:
        app: what is served.
        settings: where.
        post: of a worker among several; its `run` is given `sockets=[post.listening]`.
    """
    return _Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Which proxies are believed is the limiter's matter, by `trusted_proxies`.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=10,
        ),
        app.state.services,
        post,
    )
