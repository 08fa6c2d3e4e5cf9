"""The limiter over HTTP, for services that are not Python: `python -m ratelimit_service.companion`.

Needs Starlette, and uvicorn to run by itself (`pip install salespulse[ratelimit-http]`). `docs/ratelimit-companion.md`
has the requests and answers.
"""

from ratelimit_service.companion.app import create_app
from ratelimit_service.companion.settings import CompanionSettings

__all__ = ["CompanionSettings", "create_app"]
