"""ASGI middleware, outermost first: request context, security headers, authentication, rate limiting, fast path."""
