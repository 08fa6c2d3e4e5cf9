"""How the app is served: uvicorn with uvloop and httptools (docs/adr/0010-dashboard-server-and-charts.md)."""

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from connect import Settings
from dashboard_api.services import Services
from dashboard_api.siblings import Siblings
from dashboard_api.workers import BACKLOG, Post

# Longer than the 60 s of common load balancers, so that they, not this side, end an idle connection.
_KEEP_ALIVE_S = 65


class _Server(uvicorn.Server):
    """Ends the streams when the process is to end: they would go on for as long as jobs do."""

    def __init__(self, config: uvicorn.Config, services: Services, post: Post | None) -> None:
        super().__init__(config)
        self._services = services
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, and let those that there are finish."""
        self._services.jobs.feed.close()
        await super().shutdown(sockets)
        if self._siblings is not None:
            self._siblings.close()

    def _orphaned(self) -> None:
        # Nobody would replace or end this process, and it would keep the port from the next parent.
        if self._post is not None:
            asyncio.get_running_loop().remove_reader(self._post.parent)
        self.should_exit = True


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
