"""The WSGI middleware before bare applications, on a real Redis and a real server."""

import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest

from ratelimit_service import Options, Policy, UsageError
from ratelimit_service.http import RateLimitWSGI, Rule


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def call(app, path="/", method="GET", address="192.0.2.1", **environ):
    """Call an application as PEP 3333 says; both sides are checked by the standard library's validator."""
    fixed = {"PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": address, "QUERY_STRING": "", "SCRIPT_NAME": ""}
    environ = fixed | environ
    setup_testing_defaults(environ)
    events = {}

    def start_response(status, headers, exc_info=None):
        events.update(status=int(status[:3]), headers=headers)
        return lambda chunk: None

    body = validator(app)(environ, start_response)
    content = b"".join(body)
    body.close()
    return events["status"], dict(events["headers"]), content


def test_the_limit_the_headers_and_the_refusal(make_limiter):
    app = RateLimitWSGI(hello, limiter=make_limiter(Policy.parse("default", "1/minute")))
    status, headers, content = call(app)
    assert (status, content) == (200, b"hello")
    assert headers == {
        "Content-Type": "text/plain",
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "60",
        "RateLimit-Policy": '"default";q=1;w=60',
        "RateLimit": '"default";r=0;t=60',
    }
    status, headers, content = call(app)
    assert status == 429
    assert headers["Retry-After"] == "60"
    assert headers["Content-Type"] == "application/problem+json"
    assert b"quota-exceeded" in content
    assert call(app, method="HEAD")[2] == b""
    assert call(app, address="192.0.2.2")[0] == 200
    assert call(app, REMOTE_USER="ann")[0] == 200


def test_rules_proxies_and_paths_that_are_not_ascii(make_limiter):
    limiter = make_limiter(Policy.parse("default", "1/minute"), Policy.parse("login", "1/minute per address"))
    rules = [Rule("/é", "login", methods=("POST",))]
    app = RateLimitWSGI(hello, limiter=limiter, rules=rules, exempt=["/health"], trusted=["10.0.0.0/8"])
    inside = {"SCRIPT_NAME": "/app", "address": "10.0.0.1"}
    assert [call(app, "/health", **inside)[0] for _ in range(3)] == [200] * 3
    for hop, expected in [("203.0.113.1", 200), ("8.8.8.8, 203.0.113.1:99", 429), ("203.0.113.2", 200)]:
        path = "/é".encode().decode("latin-1")
        assert call(app, path, "POST", HTTP_X_FORWARDED_FOR=hop, **inside)[0] == expected
    assert call(app, "/other", "POST", HTTP_X_FORWARDED_FOR="203.0.113.1", **inside)[0] == 200


def test_a_slot_is_held_until_the_body_is_closed(make_limiter):
    app = RateLimitWSGI(hello, limiter=make_limiter(Policy.parse("default", "1 in flight")))
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "REMOTE_ADDR": "192.0.2.1"}
    body = app(environ, lambda *_: None)
    assert environ["ratelimit.decision"].allowed
    assert call(app)[0] == 429
    body.close()
    assert call(app)[0] == 200
    assert call(app)[0] == 200

    def broken(environ, start_response):
        raise RuntimeError("the application fails")

    failing = RateLimitWSGI(broken, limiter=make_limiter(Policy.parse("default", "1 in flight")))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the application fails"):
            failing(dict(environ), lambda *_: None)


@pytest.mark.parametrize(
    ("on_outage", "expected"), [("open", [200, 200]), ("closed", [503, 503]), ("local", [200, 429])]
)
def test_without_redis_the_policy_answers(on_outage, expected, own_server, make_limiter):
    limiter = make_limiter(
        Policy.parse("default", "1/minute", on_outage=on_outage), options=Options(), client=own_server.client()
    )
    own_server.kill()
    app = RateLimitWSGI(hello, limiter=limiter)
    assert [call(app)[0] for _ in range(2)] == expected


def test_a_shadow_policy_is_not_seen(make_limiter):
    app = RateLimitWSGI(hello, limiter=make_limiter(Policy.parse("default", "1/minute", is_shadow=True)))
    assert [call(app)[:2] for _ in range(2)] == [(200, {"Content-Type": "text/plain"})] * 2


def test_the_bundled_policy_by_url_on_a_real_server(server):
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            """The test reads no log."""

    app = RateLimitWSGI(hello, redis_url=f"redis://127.0.0.1:{server.port}")
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{http.server_port}/"
            with httpx.Client(base_url=url) as client:
                assert client.get("/").headers["X-RateLimit-Remaining"] == "99"
                # Units come back while a slow machine spends them; three times the limit in a minute is refused on any.
                rejection = next(
                    answer for answer in (client.get("/") for _ in range(300)) if answer.status_code == 429
                )
                assert rejection.headers["Retry-After"] == "1"
        finally:
            http.shutdown()
            thread.join()
    app.close()


def test_what_can_not_be_meant_is_refused_at_set_up(make_limiter):
    limiter = make_limiter(Policy.parse("api", "1/s"))
    for settings in ({}, {"limiter": limiter}, {"limiter": limiter, "policy": "api", "redis_url": "redis://x"}):
        with pytest.raises(UsageError):
            RateLimitWSGI(hello, **settings)
