"""Each spelling of a path that a real server and framework serve with a view counts for that view's rule."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ratelimit_service.http.applications import PORT
from tests.servers import redis_servers

ROOT = Path(__file__).parents[3]
APPLICATIONS = "tests.ratelimit_service.http.applications"
PATHS = [
    "/login", "//login", "///login", "/login/", "/login//", "/%6Cogin", "/lo%67in/", "%2Flogin", "/%2Flogin", "/login%2F", "/login%0A",
    "/login%0A%0A", "/LOGIN", "/./login", "/x/../login", "/login;x=1", "/login?x=/other", "/login%20", "/api/login",
    "/api//login", "/api/api/login", "//api/login", "/api/api/api/login", "/apilogin", "/shop/login", "/shop//login",
    "/shop/login%0A", "/shop/shop/login", "//shop/login", "/items/1/buy", "/items/01/buy", "/items//1/buy",
    "/items/1/buy/", "/items/1//buy", "//items/1/buy", "/items/1/buy%0A", "/items/1%2Fbuy", "/api/items/1/buy", "/logins",
    "http://shop.test/login", "http://shop.test//login",
]  # fmt: skip
UVICORN = ["uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning", "--factory"]
HYPERCORN = ["hypercorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning"]
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket"]
SERVERS = {
    "h11": [*UVICORN, "--http", "h11", "{app}"],
    "httptools": [*UVICORN, "--http", "httptools", "{app}"],
    "h11-root-path": [*UVICORN, "--http", "h11", "--root-path", "/api", "{app}"],
    "hypercorn": [*HYPERCORN, "{app}()"],
    "hypercorn-root-path": [*HYPERCORN, "--root-path", "/api", "{app}()"],
    "gunicorn": [*GUNICORN, "{app}()"],
    "gunicorn-threads": [*GUNICORN, "--threads", "2", "{app}()"],
    "gunicorn-gevent": [*GUNICORN, "--worker-class", "gevent", "{app}()"],
}
CASES = [
    ("starlette", "httptools"),
    ("starlette", "h11-root-path"),
    ("fastapi", "h11"),
    ("fastapi", "hypercorn"),
    ("django_asgi", "h11"),
    ("django_asgi", "hypercorn-root-path"),
    ("flask", "gunicorn"),
    ("flask", "gunicorn-gevent"),
    ("flask_with_loose_slashes", "gunicorn-threads"),
    ("django_wsgi", "gunicorn-gevent"),
]


@contextlib.contextmanager
def server_process(command, app, redis_port):
    """The port of a server program with an application."""
    port = redis_servers.free_port()
    arguments = [word.format(port=port, app=f"{APPLICATIONS}:{app}") for word in command]
    environment = {**os.environ, PORT: str(redis_port), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environment) as process:
        try:
            redis_servers.until(lambda: process.poll() is not None or is_listening(port), within_s=60)
            assert process.poll() is None
            yield port
        finally:
            process.terminate()


def is_listening(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def response(port, method, target):
    """Send one request just as it is spelled; return the status, the view that answered, and the policy that counted."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    header_lines, _, body = data.partition(b"\r\n\r\n")
    policies = [line for line in header_lines.decode().split("\r\n") if line.lower().startswith("ratelimit-policy:")]
    view = next(
        (name for name in ("login", "other") if body.endswith(name.encode()) or name.encode() + b"\r\n" in body), ""
    )
    return int(data.split(b" ", 2)[1]), view, [line.split('"')[1] for line in policies]


@pytest.mark.parametrize(("app", "name"), CASES)
def test_what_the_router_serves_is_what_is_counted(app, name, server):
    requests = [("POST", path) for path in PATHS] + [("post", "/login"), ("Post", "//login"), ("post", "/items/1/buy")]
    with server_process(SERVERS[name], app, server.port) as port:
        responses = {request: response(port, *request) for request in requests}
    served = {request: (view, policies) for request, (status, view, policies) in responses.items() if status == 200}
    assert ("POST", "/login") in served
    # The mounted application's middleware is the nearer one, so its policy is the first.
    expected = {"login": "login", "other": "default"}
    assert not {request: result for request, result in served.items() if result[1][:1] != [expected[result[0]]]}
