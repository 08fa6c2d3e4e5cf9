"""The limiter in front of an HTTP application: ASGI and WSGI middleware, and a FastAPI dependency.

Only `fastapi` needs a framework, and is imported from its own module. Start with `docs/ratelimit-middleware.md`.
"""

from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.asgi import RateLimitMiddleware
from ratelimit_service.http.request_matcher import Rule
from ratelimit_service.http.wsgi import RateLimitWSGI
from ratelimit_service.policy_file import bundled_policies

__all__ = ["ClientAddress", "RateLimitMiddleware", "RateLimitWSGI", "Rule", "bundled_policies"]
