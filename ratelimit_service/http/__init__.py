"""The limiter before an HTTP application: ASGI and WSGI middleware, a FastAPI dependency, and a companion service.

`asgi` and `wsgi` need no framework; `fastapi` and `companion` import theirs when they are imported themselves.
`docs/ratelimit-middleware.md` begins with the two lines to add.
"""

from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.asgi import RateLimitMiddleware
from ratelimit_service.http.bundled import bundled_policies
from ratelimit_service.http.rules import Rule
from ratelimit_service.http.wsgi import RateLimitWSGI

__all__ = ["ClientAddress", "RateLimitMiddleware", "RateLimitWSGI", "Rule", "bundled_policies"]
