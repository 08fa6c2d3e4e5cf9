"""Serve the app: uvicorn with uvloop and httptools (docs/adr/0010-dashboard-server-and-charts.md)."""

import asyncio
import shutil
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from dashboard_api.metrics import WorkerMetrics
from dashboard_api.prefork import BACKLOG, WorkerResources
from dashboard_api.services import Services
from dbconnect import Settings

# Longer than the 60 s of common load balancers, so that they close idle connections, not this server.
_KEEP_ALIVE_S = 65
# The server ticks ten times a second; a closing connection has five seconds to read what it was sent.
_TICKS_PER_CHECK = 10
_CLOSING_CHECKS_MAX = 5


class _Server(uvicorn.Server):
    """A server whose shutdown no event stream delays: neither one whose job goes on, nor one that the client does not read."""

    def __init__(self, config: uvicorn.Config, services: Services, worker: WorkerResources | None) -> None:
        super().__init__(config)
        self._services = services
        # By closing connection, how many checks have seen it so.
        self._closing: dict[Any, int] = {}
        self._worker = worker
        self._worker_metrics: WorkerMetrics | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        if self._worker is not None:
            metrics = self._services.metrics
            self._worker_metrics = WorkerMetrics(
                self._worker.number, self._worker.metrics_listener, self._worker.metrics_paths, metrics.registry
            )
            await self._worker_metrics.open()
            metrics.workers = self._worker_metrics
            asyncio.get_running_loop().add_reader(self._worker.parent_pipe, self._exit_without_parent)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Abort closing connections whose clients don't read the rest: they would stay open for ever."""
        if counter % _TICKS_PER_CHECK == 0:
            closing = {of: self._closing.get(of, 0) + 1 for of in self._connections() if of.transport.is_closing()}
            for connection, checks in closing.items():
                if checks > _CLOSING_CHECKS_MAX:
                    connection.transport.abort()
            self._closing = closing
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, end the event streams, and let everything else finish."""
        self._services.jobs.events.close()
        for connection in self._connections():
            if connection.transport.is_closing():
                connection.transport.abort()
        await super().shutdown(sockets)
        if self._worker_metrics is not None:
            self._worker_metrics.close()

    def _exit_without_parent(self) -> None:
        # Nothing would replace or end this process, and it would keep the port from the next parent.
        if self._worker is not None:
            asyncio.get_running_loop().remove_reader(self._worker.parent_pipe)
            # The parent would have removed it.
            shutil.rmtree(self._worker.metrics_paths[0].parent, ignore_errors=True)
        self.should_exit = True

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def make_server(app: FastAPI, settings: Settings, worker: WorkerResources | None = None) -> uvicorn.Server:
    """Return a server; its `run` serves until SIGTERM or SIGINT.

    Args:
        app: the app to serve.
        settings: the address.
        worker: of a worker among several; pass `sockets=[worker.listener]` to `run`.
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
            # The rate limiter decides which proxies to trust, by `trusted_proxies`.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=10,
        ),
        app.state.services,
        worker,
    )
