"""The limiter before an HTTP application: ASGI and WSGI middleware, a FastAPI dependency, and a companion service.

`docs/ratelimit-middleware.md` begins with the two lines to add.
"""

from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.asgi import RateLimitMiddleware
from ratelimit_service.http.bundled import bundled_policies
from ratelimit_service.http.rules import Rule

__all__ = ["ClientAddress", "RateLimitMiddleware", "Rule", "bundled_policies"]
