"""Run the API: `python -m dashboard_api`."""

import signal
import sys

from fastapi import FastAPI

from dashboard_api.app import create_app
from dashboard_api.garbage import settle
from dashboard_api.logs import set_up_logs
from dashboard_api.server import make_server
from dashboard_api.workers import Post, Workers
from dbconnect import SalespulseError, Settings, load_settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; give the exit code."""
    set_up_logs(is_gathering=False)
    try:
        settings = load_settings()
        # Reaches for no server yet and starts no thread, so that workers may be forked from here.
        app = create_app(settings)
        settle()
        if settings.dashboard_processes > 1:
            return Workers(settings, lambda post: _serve(app, settings, post)).run()
        return _serve(app, settings)
    except SalespulseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _serve(app: FastAPI, settings: Settings, post: Post | None = None) -> int:
    set_up_logs()
    server = make_server(app, settings, post)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn has handlers of its own while it runs; stopped in good order, it raises the signal anew.
        signal.signal(number, lambda *_: None)
    server.run(sockets=None if post is None else [post.listening])
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
