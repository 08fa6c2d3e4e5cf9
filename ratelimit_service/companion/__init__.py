"""The limiter as an HTTP service, for clients in any language: `python -m ratelimit_service.companion`.

Needs Starlette and uvicorn (`pip install salespulse[ratelimit-http]`). `docs/ratelimit-companion.md` has its API.
"""

from ratelimit_service.companion.app import create_app
from ratelimit_service.companion.settings import CompanionSettings

__all__ = ["CompanionSettings", "create_app"]
