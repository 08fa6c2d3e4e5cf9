"""How the app is served: uvicorn with uvloop and httptools (docs/adr/0010-dashboard-server-and-charts.md)."""

import socket

import uvicorn
from fastapi import FastAPI

from connect import Settings
from dashboard_api.services import Services

# Connections that wait while a thousand users arrive at once.
_BACKLOG = 4_096
# Longer than the 60 s of common load balancers, so that they, not this side, end an idle connection.
_KEEP_ALIVE_S = 65


class _Server(uvicorn.Server):
    """Ends the streams when the process is to end: they would go on for as long as jobs do."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, and let those that there are finish."""
        self._services.jobs.feed.close()
        await super().shutdown(sockets)


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
