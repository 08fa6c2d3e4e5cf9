"""Run the API: `python -m dashboard_api`."""

import sys

import uvicorn

from connect import SalespulseError, load_settings
from dashboard_api.app import create_app
from dashboard_api.logs import set_up_logs


def main() -> int:
    """Serve until SIGTERM or SIGINT; give the exit code."""
    set_up_logs()
    try:
        settings = load_settings()
        app = create_app(settings)
    except SalespulseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    server = uvicorn.Server(
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
            proxy_headers=False,
            backlog=4_096,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=10,
        )
    )
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
