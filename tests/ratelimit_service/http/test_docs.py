"""The examples of the documentation, run as a newcomer would: nothing but the text and a Redis."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from ratelimit_service.companion import CompanionSettings, create_app
from ratelimit_service.companion.settings import new_key
from tests.ratelimit_service.http.conftest import browser, serving
from tests.ratelimit_service.http.test_wsgi import call
from tests.servers import redis_servers

DOCS = Path(__file__).parents[3] / "docs"
MIDDLEWARE = (DOCS / "ratelimit-middleware.md").read_text(encoding="utf-8")
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
COMPANION = (DOCS / "ratelimit-companion.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def example(name: str, server, tmp_path) -> dict:
    """The names that the documentation's block with `name` in it defines, its Redis being the test's."""
    [code] = [block for block in blocks(MIDDLEWARE, "python") if name in block]
    path = tmp_path / "example.py"
    path.write_text(
        code.replace("localhost:6379", f"localhost:{server.port}").replace("Redis()", f"Redis(port={server.port})")
    )
    spec = importlib.util.spec_from_file_location("example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def documented_fields(status: str) -> list[str]:
    """The field names of the sample response with a status, in its column of the block."""
    [block] = blocks(MIDDLEWARE, "http")
    lines = block.splitlines()
    begin = lines[0].index(status)
    end = None if begin else lines[0].rindex("HTTP/1.1")
    return [line[begin:end].partition(":")[0] for line in lines[1:] if line[begin:end].strip()]


@pytest.mark.parametrize(
    "framework", ["Starlette(routes", "app = FastAPI()\napp.add_middleware(RateLimitMiddleware, redis_url"]
)
def test_a_newcomer_adds_two_lines_and_sees_429_and_the_headers(framework, server, tmp_path):
    [code] = [block for block in blocks(MIDDLEWARE, "python") if framework in block]
    assert len([line for line in code.splitlines() if "RateLimitMiddleware" in line]) == 2
    app = example(framework, server, tmp_path)["app"]
    with serving(app) as url, httpx.Client(base_url=url) as client:
        first = client.get("/")
        assert (first.status_code, first.headers["x-ratelimit-remaining"]) == (200, "99")
        assert set(documented_fields("HTTP/1.1 200")) <= set(first.headers)
        # Units come back while a slow machine spends them; three times the limit in a minute is refused on any.
        rejection = next(answer for answer in (client.get("/") for _ in range(300)) if answer.status_code == 429)
        assert "retry-after" in documented_fields("HTTP/1.1 429")
        assert set(documented_fields("HTTP/1.1 429")) <= set(rejection.headers)
        [problem] = [block for block in blocks(MIDDLEWARE, "json") if "quota-exceeded" in block]
        assert rejection.json() == json.loads(problem)


async def test_the_readmes_two_lines(server):
    [code] = [block for block in blocks(README, "python") if "RateLimitMiddleware" in block]
    app = Starlette()
    exec(code.replace("localhost:6379", f"localhost:{server.port}"), {"app": app})  # noqa: S102 - the README's example
    async with browser(app) as client:
        assert (await client.get("/")).headers["x-ratelimit-remaining"] == "99"


def test_the_readmes_companion_starts(server):
    [code] = [block for block in blocks(README, "sh") if "companion" in block]
    new_key_line, start_line = (line.partition("#")[0].split() for line in code.splitlines())
    process_output = subprocess.run([sys.executable, *new_key_line[1:]], capture_output=True, text=True, check=True)
    hashed = re.search(r"\b[0-9a-f]{64}\b", process_output.stdout)[0]
    variables = dict(word.split("=", 1) for word in start_line if word.startswith("RATELIMIT_"))
    port = redis_servers.free_port()
    environment = {
        **os.environ,
        **variables,
        "RATELIMIT_REDIS_URL": variables["RATELIMIT_REDIS_URL"].replace("6379", str(server.port)),
        "RATELIMIT_KEY_HASHES": hashed,
        "RATELIMIT_PORT": str(port),
    }
    arguments = start_line[start_line.index("python") + 1 :]
    with subprocess.Popen([sys.executable, *arguments], env=environment, cwd=DOCS.parent) as process:
        try:
            redis_servers.until(lambda: answers(f"http://127.0.0.1:{port}/health"), within_s=60)
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_the_wsgi_example(server, tmp_path):
    application = example("RateLimitWSGI", server, tmp_path)["application"]
    status, headers, content = call(application)
    assert (status, headers["X-RateLimit-Remaining"], content) == (200, "99", b"hello")
    application.close()


async def test_the_example_of_policies_and_routes(server, tmp_path):
    names = example("/reports/**", server, tmp_path)
    async with browser(names["app"]) as client:
        logins = [(await client.post("/login")).status_code for _ in range(6)]
        assert logins == [200] * 5 + [429]
        assert (await client.get("/search")).headers["x-ratelimit-remaining"] == "95"
        assert (
            '"reports-1";q=2;qu="concurrent-requests"' in (await client.get("/reports/1")).headers["ratelimit-policy"]
        )
        assert "ratelimit" not in (await client.get("/health")).headers
    await names["limiter"].aclose()


async def test_the_examples_of_proxies(server, tmp_path):
    names = example("ipv6_prefix=56", server, tmp_path)
    async with browser(names["app"], "10.0.0.1") as client:
        left = [(await client.get("/", headers={"x-forwarded-for": f"192.0.2.{n}"})).headers for n in (1, 2)]
    assert [headers["x-ratelimit-remaining"] for headers in left] == ["99", "99"]


async def test_the_example_of_the_dependency(server, tmp_path):
    names = example("limits(", server, tmp_path)
    async with browser(names["app"]) as client:
        assert [(await client.post("/exports")).status_code for _ in range(3)] == [200, 200, 429]
    await names["limiter"].aclose()


async def test_the_companions_requests_and_answers(server):
    key, hashed = new_key()
    url = f"redis://127.0.0.1:{server.port}"
    [body_text] = re.findall(r"curl .* -d '(.*)'", COMPANION)
    answer, problem = map(json.loads, blocks(COMPANION, "json"))
    headers = {"authorization": f"Bearer {key}"}
    with serving(create_app(CompanionSettings(redis_url=url, key_hashes=(hashed,)))) as base:
        async with httpx.AsyncClient(base_url=base, headers=headers) as client:
            response = (await client.post("/v1/check", content=body_text)).json()
            assert {**response, "policy_version": "…"} == answer
            request = json.loads(body_text)
            body = {"requests": [request, {**request, "cost": -1}]}
            assert (await client.post("/v1/check-many", json=body)).json() == problem
            for path in re.findall(r"^\| `(/v1/\S+)` \|", COMPANION, re.MULTILINE):
                assert (await client.post(path, json={})).status_code == 422, path


def test_every_variable_of_the_companion_is_documented():
    source = (DOCS.parent / "ratelimit_service/companion/settings.py").read_text(encoding="utf-8")
    assert set(re.findall(r'"(RATELIMIT_[A-Z_]+)"', source)) == set(re.findall(r"`(RATELIMIT_[A-Z_]+)`", COMPANION))
