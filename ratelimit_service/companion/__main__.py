"""Run the companion with settings from the environment (see `CompanionSettings`)."""

from __future__ import annotations

import argparse
import os
import sys

import uvicorn
from redis.exceptions import RedisError

from ratelimit_service.companion.app import create_app
from ratelimit_service.companion.settings import CompanionSettings, new_key
from ratelimit_service.errors import RateLimitError


def main() -> int:
    """Serve until stopped; return 2 if the settings or policies are invalid."""
    parser = argparse.ArgumentParser(prog="python -m ratelimit_service.companion", description=__doc__)
    parser.add_argument("--new-key", action="store_true", help="print a new key and its hash, and exit")
    if parser.parse_args().new_key:
        key, hashed = new_key()
        sys.stdout.write(f"key (for the caller):       {key}\nhash (for the companion):   {hashed}\n")
        return 0
    try:
        settings = CompanionSettings.from_env(os.environ)
        app = create_app(settings)
    except (RateLimitError, RedisError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="info", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
