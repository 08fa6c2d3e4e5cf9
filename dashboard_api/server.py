"""How the app is served: uvicorn with uvloop and httptools (docs/adr/0010-dashboard-server-and-charts.md)."""

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from connect import Settings
from dashboard_api.services import Services

# Connections that wait while a thousand users arrive at once.
_BACKLOG = 4_096
# Longer than the 60 s of common load balancers, so that they, not this side, end an idle connection.
_KEEP_ALIVE_S = 65
# The server ticks ten times a second; a connection that was closed has five seconds to take what it was sent.
_TICKS_PER_LOOK = 10
_LINGER_LOOKS = 5


class _Server(uvicorn.Server):
    """A server that no stream holds up: neither one that would go on for as long as a job does, nor one that nobody reads."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self._closing: dict[Any, int] = {}

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

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Make the server; `run` serves until SIGTERM or SIGINT."""
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
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=10,
        ),
        app.state.services,
    )
