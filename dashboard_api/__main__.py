"""Run the API: `python -m dashboard_api`."""

import gc
import signal
import sys

from connect import SalespulseError, load_settings
from dashboard_api.app import create_app
from dashboard_api.logs import set_up_logs
from dashboard_api.server import make_server


def main() -> int:
    """Serve until SIGTERM or SIGINT; give the exit code."""
    set_up_logs()
    try:
        settings = load_settings()
        server = make_server(create_app(settings), settings)
    except SalespulseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    # What was loaded stays until the end; without this the collector looks through all of it, for tens of milliseconds at a time.
    gc.collect()
    gc.freeze()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn has handlers of its own while it runs; stopped in good order, it raises the signal anew.
        signal.signal(number, lambda *_: None)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
