"""The companion over HTTP, on a real Redis; a real process for its command line."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ratelimit_service import Limit, Options, PolicyFileError, UsageError, publish_policies
from ratelimit_service.companion import CompanionSettings, create_app
from ratelimit_service.companion.settings import hash_key, new_key
from tests.ratelimit_service.conftest import PATIENT
from tests.ratelimit_service.http.conftest import serving
from tests.servers import redis_servers

ROOT = Path(__file__).parents[3]
KEY, HASH = new_key()
POLICIES = """
[policies.api]
limits = ["3/minute per user", "100/minute per tenant"]
one_slot = true
[policies.api.tenants.big]
limits = ["5/minute per user"]
[policies.plain]
limits = ["2/hour"]
[policies.job]
limits = ["1 in flight lease 30s"]
[policies.trial]
limits = ["1/hour"]
shadow = true
"""


@pytest.fixture
def policy_file(tmp_path):
    path = tmp_path / "policies.toml"
    path.write_text(POLICIES)
    return path


def settings_for(server, **more) -> CompanionSettings:
    url = f"redis://127.0.0.1:{server.port}"
    return CompanionSettings(**{"redis_url": url, "key_hashes": (HASH,), **more})


@pytest.fixture
async def companion(server, policy_file):
    """A client of a companion in this process, with a good key."""
    app = create_app(settings_for(server, policies=str(policy_file), body_max_bytes=10_000, requests_max=50), PATIENT)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app, key: str = KEY) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://limiter.test", headers=headers)


async def test_checks_until_refused(companion):
    body = {"policy": "plain", "key": "ann"}
    first = await companion.post("/v1/check", json=body)
    assert first.status_code == 200
    answer = first.json()
    version = answer.pop("policy_version")
    assert len(version) == 12
    reset_s = answer.pop("reset_after_s")
    assert answer.pop("limits")[0].pop("reset_after_s") == reset_s == 1800.0
    assert answer == {
        "allowed": True,
        "policy": "plain",
        "cost": 1,
        "limit": 2,
        "remaining": 1,
        "retry_after_s": 0.0,
        "refused_by": None,
        "would_deny": False,
        "degraded": False,
        "headers": {
            "X-RateLimit-Limit": "2",
            "X-RateLimit-Remaining": "1",
            "X-RateLimit-Reset": "1800",
            "RateLimit-Policy": '"plain";q=2;w=3600',
            "RateLimit": '"plain";r=1;t=1800',
        },
    }
    await companion.post("/v1/check", json=body)
    rejection = (await companion.post("/v1/check", json=body)).json()
    assert not rejection["allowed"]
    assert rejection["refused_by"] == Limit.parse("2/hour").text
    assert 1790 < rejection["retry_after_s"] <= 1800
    assert rejection["headers"]["Retry-After"] == "1800"


async def test_peek_refund_costs_and_tenants(companion):
    who = {"policy": "api", "key": {"user": "ann", "tenant": 7}}
    assert (await companion.post("/v1/check", json={**who, "cost": 3})).json()["remaining"] == 0
    assert not (await companion.post("/v1/peek", json=who)).json()["allowed"]
    refund = {**who, "cost": 2, "refund_id": "order-7"}
    assert [(await companion.post("/v1/refund", json=refund)).json() for _ in range(2)] == [
        {"refunded": 2},
        {"refunded": 0},
    ]
    assert [(await companion.post("/v1/peek", json=who)).json()["remaining"] for _ in range(2)] == [2, 2]
    big = {"policy": "api", "key": {"user": "ann"}, "tenant": "big"}
    assert (await companion.post("/v1/check", json=big)).json()["limit"] == 5


async def test_many_at_once_each_for_itself(companion):
    requests = [{"policy": "plain", "key": key} for key in ("ann", "ann", "ann", "bob")]
    answer = await companion.post("/v1/check-many", json={"requests": requests})
    assert [decision["allowed"] for decision in answer.json()["decisions"]] == [True, True, False, True]


async def test_a_slot_is_taken_renewed_and_released(companion):
    who = {"policy": "job", "key": "ann"}
    slot = (await companion.post("/v1/slots/take", json=who)).json()
    assert (slot["allowed"], slot["lease_s"]) == (True, 30.0)
    rejection = (await companion.post("/v1/slots/take", json=who)).json()
    assert (rejection["allowed"], rejection["slot_id"]) == (False, None)
    slot_request = {**who, "slot_id": slot["slot_id"]}
    assert (await companion.post("/v1/slots/renew", json=slot_request)).json() == {"renewed": True, "lost": False}
    assert (await companion.post("/v1/slots/release", json=slot_request)).status_code == 204
    assert (await companion.post("/v1/slots/release", json=slot_request)).status_code == 204
    assert (await companion.post("/v1/slots/renew", json=slot_request)).json() == {"renewed": False, "lost": True}
    assert (await companion.post("/v1/slots/take", json=who)).json()["allowed"]


async def test_a_shadow_policy_shows_no_headers(companion):
    answers = [(await companion.post("/v1/check", json={"policy": "trial", "key": 1})).json() for _ in range(2)]
    assert [(answer["allowed"], answer["would_deny"], answer["headers"]) for answer in answers] == [
        (True, False, {}),
        (True, True, {}),
    ]


GOOD = {"policy": "plain", "key": "ann"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("check", {"key": "ann"}, "policy"),
        ("check", {**GOOD, "policy": "absent"}, "policy"),
        ("check", {**GOOD, "policy": 7}, "policy"),
        ("check", {**GOOD, "policy": "job"}, "policy"),
        ("slots/take", GOOD, "policy"),
        ("refund", {**GOOD, "policy": "job"}, "policy"),
        ("check", {"policy": "plain"}, "key"),
        ("check", {**GOOD, "key": 1.5}, "key"),
        ("check", {**GOOD, "key": True}, "key"),
        ("check", {**GOOD, "key": ["ann"]}, "key"),
        ("check", {**GOOD, "key": {"user": "ann"}}, "key"),
        ("check", {"policy": "api", "key": "ann"}, "key"),
        ("check", {"policy": "api", "key": {"user": "ann"}}, "key"),
        ("check", {"policy": "api", "key": {"user": "ann", "tenant": None}}, "key.tenant"),
        ("check", {**GOOD, "key": "\ud800"}, "key"),
        ("check", {**GOOD, "cost": -1}, "cost"),
        ("check", {**GOOD, "cost": 1.5}, "cost"),
        ("check", {**GOOD, "cost": "1"}, "cost"),
        ("check", {**GOOD, "cost": 2**50}, "cost"),
        ("peek", {**GOOD, "tenant": 7}, "tenant"),
        ("check", {**GOOD, "refund_id": "x"}, "refund_id"),
        ("refund", {**GOOD, "refund_id": 7}, "refund_id"),
        ("refund", {**GOOD, "refund_id": "\ud800"}, "refund_id"),
        ("check-many", {"requests": []}, "requests"),
        ("check-many", {"requests": [GOOD] * 51}, "requests"),
        ("check-many", {"requests": [GOOD, 7]}, "requests[1]"),
        ("check-many", {"requests": [GOOD, {**GOOD, "cost": -1}]}, "requests[1].cost"),
        ("check-many", {"requests": [GOOD], "more": 1}, "more"),
        ("slots/renew", {"policy": "job", "key": "ann"}, "slot_id"),
        ("slots/renew", {"policy": "job", "key": "ann", "slot_id": "zz"}, "slot_id"),
        ("slots/release", {"policy": "job", "key": "ann", "slot_id": 7}, "slot_id"),
    ],
)
async def test_a_bad_body_is_refused_with_its_field(companion, server, path, body, field):
    answer = await companion.post(f"/v1/{path}", content=json.dumps(body))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert server.client().dbsize() == 0, "nothing was charged"


@pytest.mark.parametrize("raw", [b"", b"{", b"7", b"[]", b"\xff\xfe", b"[" * 9_000, b'{"cost": ' + b"9" * 9_000 + b"}"])
async def test_a_body_that_is_no_json_object_is_refused(companion, raw):
    answer = await companion.post("/v1/check", content=raw)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body"


async def test_a_body_too_long_is_refused_unread(companion):
    async def chunks():
        for _ in range(100):
            yield b" " * 1_000

    for content in (b" " * 10_001, chunks()):
        answer = await companion.post("/v1/check", content=content)
        assert (answer.status_code, answer.json()["detail"]) == (413, "the body exceeds 10000 bytes")
    exact = json.dumps(GOOD).encode()
    assert (await companion.post("/v1/check", content=exact + b" " * (10_000 - len(exact)))).status_code == 200


async def test_only_known_keys_are_answered(companion, server):
    headers = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {KEY}",
        f"Bearer {HASH}",
        f"Bearer {KEY}x",
        "Bearer \xe9",
    ]
    for value in headers:
        for method, path in [("POST", "/v1/check"), ("GET", "/metrics"), ("POST", "/v1/slots/release")]:
            answer = await companion.request(
                method, path, headers={"authorization": value.encode("latin-1")}, json=GOOD
            )
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["title"] == "Unauthorized"
    assert server.client().dbsize() == 0
    assert (await companion.get("/v1/check")).status_code == 405
    assert (await companion.get("/absent")).json()["status"] == 404


async def test_keys_can_be_replaced_one_after_the_other(server):
    second, hashed = new_key()
    app = create_app(settings_for(server, key_hashes=(hashed, HASH)), PATIENT)
    for key in (KEY, second):
        async with client_of(app, key) as client:
            assert (await client.post("/v1/check", json={"policy": "default", "key": "ann"})).json()["limit"] == 100


async def test_health_and_metrics(companion, server):
    health = (await companion.get("/health", headers={"authorization": ""})).json()
    assert (health["status"], health["redis"]) == ("ok", "ok")
    assert server.client().dbsize() == 0
    await companion.post("/v1/check", json={"policy": "plain", "key": "secret-caller"})
    text = (await companion.get("/metrics")).text
    assert 'ratelimit_decisions_total{outcome="allowed",policy="plain"} 1.0' in text
    assert "secret-caller" not in text


async def test_without_redis_it_still_answers(own_server, policy_file):
    app = create_app(settings_for(own_server, policies=str(policy_file)), Options())
    own_server.kill()
    async with client_of(app) as client:
        answer = (await client.post("/v1/check", json=GOOD)).json()
        assert (answer["allowed"], answer["degraded"]) == (True, True)
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["redis"]) == (200, "degraded", "away")
        who = {"policy": "job", "key": "ann"}
        slot = (await client.post("/v1/slots/take", json=who)).json()
        assert slot["degraded"]
        renewed = await client.post("/v1/slots/renew", json={**who, "slot_id": slot["slot_id"]})
        assert renewed.json() == {"renewed": False, "lost": False}


async def test_policies_are_reloaded_from_file_and_from_redis(companion, policy_file, server):
    async def limit_of(client, policy) -> int:
        return (await client.post("/v1/peek", json={"policy": policy, "key": "ann"})).json()["limit"]

    assert await limit_of(companion, "plain") == 2
    new = policy_file.with_name("new")
    new.write_text(POLICIES.replace("2/hour", "4/hour"))
    new.rename(policy_file)
    async with asyncio.timeout(5):
        while await limit_of(companion, "plain") != 4:  # noqa: ASYNC110 - the watcher's thread sets no event
            await asyncio.sleep(0.02)
    publish_policies(server.client(), {"policies": {"published": {"limits": ["9/hour"]}}})
    app = create_app(settings_for(server, policies="redis"), PATIENT)
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert await limit_of(client, "published") == 9


def test_settings_from_the_environment(server, tmp_path):
    environ = {"RATELIMIT_REDIS_URL": "redis://:secret@localhost", "RATELIMIT_KEY_HASHES": f"{HASH}, {hash_key(b'x')}"}
    settings = CompanionSettings.from_env({**environ, "RATELIMIT_PORT": "9"})
    assert (settings.port, settings.host, len(settings.key_hashes)) == (9, "127.0.0.1", 2)
    assert "secret" not in repr(settings)
    assert HASH not in repr(settings)
    for change, reason in [
        ({"RATELIMIT_REDIS_URL": ""}, "RATELIMIT_REDIS_URL"),
        ({"RATELIMIT_KEY_HASHES": ""}, "RATELIMIT_KEY_HASHES"),
        ({"RATELIMIT_KEY_HASHES": KEY}, "RATELIMIT_KEY_HASHES"),
        ({"RATELIMIT_PORT": "http"}, "RATELIMIT_PORT"),
        ({"RATELIMIT_BODY_MAX_BYTES": "0"}, "RATELIMIT_BODY_MAX_BYTES"),
    ]:
        with pytest.raises(UsageError, match=reason) as rejection:
            CompanionSettings.from_env({**environ, **change})
        assert KEY not in str(rejection.value)
    broken = tmp_path / "broken.toml"
    broken.write_text("[policies.api]\nlimits = ['often']\n")
    with pytest.raises(PolicyFileError, match="line 2"):
        create_app(settings_for(server, policies=str(broken)))


def test_it_is_served_by_uvicorn(server):
    with serving(create_app(settings_for(server))) as url:
        answer = httpx.post(
            f"{url}/v1/check", json={"policy": "default", "key": "ann"}, headers={"authorization": f"Bearer {KEY}"}
        )
        assert answer.json()["remaining"] == 99


def test_the_command_line(server):
    command = [sys.executable, "-m", "ratelimit_service.companion"]
    output = subprocess.run(
        [*command, "--new-key"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert hash_key(output[4].encode()) == output[-1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RATELIMIT_")}
    rejection = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (rejection.returncode, rejection.stderr) == (
        2,
        "RATELIMIT_REDIS_URL is not set; set it to a URL such as redis://localhost:6379/0\n",
    )
    port = redis_servers.free_port()
    environ |= {
        "RATELIMIT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
        "RATELIMIT_KEY_HASHES": output[-1],
        "RATELIMIT_PORT": str(port),
    }
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as process:
        try:

            def is_up() -> bool:
                try:
                    return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
                except httpx.TransportError:
                    return False

            redis_servers.until(is_up)
        finally:
            process.terminate()
        assert process.wait(10) in {0, -15}
