"""Run the API: `python -m dashboard_api`."""

import signal
import sys

from fastapi import FastAPI

from dashboard_api.app import create_app
from dashboard_api.prefork import PreforkParent, WorkerResources
from dashboard_api.process_setup import set_up_logs, tune_garbage_collector
from dashboard_api.server import make_server
from dbconnect import SalespulseError, Settings, load_settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    set_up_logs(is_buffered=False)
    try:
        settings = load_settings()
        # Connects to no server and starts no thread, so that workers may be forked from here.
        app = create_app(settings)
        tune_garbage_collector()
        if settings.dashboard_processes > 1:
            return PreforkParent(settings, lambda worker: _serve(app, settings, worker)).run()
        return _serve(app, settings)
    except SalespulseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _serve(app: FastAPI, settings: Settings, worker: WorkerResources | None = None) -> int:
    set_up_logs()
    server = make_server(app, settings, worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn has its own handlers while it runs; after a regular stop it raises the signal again.
        signal.signal(number, lambda *_: None)
    server.run(sockets=None if worker is None else [worker.listener])
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
