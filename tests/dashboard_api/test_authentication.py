"""Who gets in, and who doesn't."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from dashboard_api.auth import TokenVerifier, hash_api_key, new_api_key
from dashboard_api.auth.access_tokens import JWKS_REFETCH_AFTER_S, JWKS_RENEW_S, JwksClient
from dashboard_api.errors import NotConfiguredError, NotReadyError, UnauthenticatedError
from dbconnect import Settings
from dbsql import query
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import SECRET, Api, serve, token_for

NOW = 1_800_000_000
ME = "/api/me"


def claims(**changes: Any) -> dict[str, Any]:
    whole = {"aud": "salespulse", "sub": "someone", "tenant": "t-1", "role": "owner", "exp": NOW + 60} | changes
    return {name: value for name, value in whole.items() if value is not None}


def hs256(payload: dict[str, Any], secret: str = SECRET.get_secret_value()) -> str:
    return jwt.encode(payload, secret, algorithm="HS256")


def verifier(**changes: Any) -> TokenVerifier:
    settings = Settings(_env_file=None, **({"jwt_secret": SECRET} | changes))
    return TokenVerifier(settings, clock=lambda: float(NOW))


async def test_a_good_token_names_its_caller() -> None:
    identity = await verifier().verify(hs256(claims(currency="GBP")))
    assert (identity.tenant_id, identity.role, identity.subject) == ("t-1", "owner", "someone")
    assert identity.currency == "GBP"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "2030-01-01"},
        {"exp": True},
        {"nbf": NOW + 60},
        {"aud": "someone-else"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": ["t-1"]},
        {"tenant": "t-1\0"},
        {"role": None},
        {"role": ["owner"]},
    ],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier().verify(hs256(claims(**changes)))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
async def test_alg_none_is_refused(algorithm: str) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for signature in ("", "x"):
        with pytest.raises(UnauthenticatedError):
            await verifier().verify(f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}.{signature}")


async def test_tampered_foreign_and_malformed_tokens_are_refused() -> None:
    head, body, signature = hs256(claims()).split(".")
    other = hs256(claims(tenant="t-2")).split(".")[1]
    bad = [
        f"{head}.{other}.{signature}",
        hs256(claims(), "another secret, also 32 characters or more"),
        hs256(claims()) + "x",
        f"{head}.{body}",
        "",
        "a.b.c",
        "💥",
        "x" * 10_000,
        jwt.encode(claims(), SECRET.get_secret_value(), algorithm="HS384"),
    ]
    for token in bad:
        with pytest.raises(UnauthenticatedError):
            await verifier().verify(token)


async def test_a_token_expires_although_it_is_remembered() -> None:
    now = [float(NOW)]
    caching = TokenVerifier(Settings(_env_file=None, jwt_secret=SECRET), clock=lambda: now[0])
    token = hs256(claims())
    await caching.verify(token)
    now[0] += 120
    with pytest.raises(UnauthenticatedError, match="expired"):
        await caching.verify(token)


async def test_the_issuer_counts_where_one_is_set() -> None:
    strict = verifier(jwt_issuer="the-application")
    assert await strict.verify(hs256(claims(iss="the-application")))
    for issuer in (None, "someone-else"):
        with pytest.raises(UnauthenticatedError):
            await strict.verify(hs256(claims(iss=issuer)))


def test_exactly_one_way_to_verify_is_wanted() -> None:
    for settings in ({}, {"jwt_secret": SECRET, "jwks_url": "http://127.0.0.1:1/jwks"}):
        with pytest.raises(NotConfiguredError, match="exactly one"):
            TokenVerifier(Settings(_env_file=None, **settings))


# ---------------------------------------------------------------------------------------------------------------- JWKS


class Issuer:
    """An identity provider: private keys, and the public ones at a URL."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.is_down = False
        self.fetches = 0
        self.rotate("first")
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                self.send_response(500 if issuer.is_down else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": [issuer.public(kid) for kid in issuer.keys]}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"

    def rotate(self, kid: str) -> None:
        self.keys = {kid: rsa.generate_private_key(public_exponent=65_537, key_size=2_048)}

    def public(self, kid: str) -> dict[str, Any]:
        key: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
        return {**key, "kid": kid, "use": "sig", "alg": "RS256"}

    def pem(self, kid: str) -> bytes:
        return (
            self.keys[kid]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def token(self, kid: str, **changes: Any) -> str:
        return jwt.encode(claims(**changes), self.keys[kid], algorithm="RS256", headers={"kid": kid})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    provider = Issuer()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def by_jwks(issuer: Issuer, clock: Clock) -> TokenVerifier:
    settings = Settings(_env_file=None, jwks_url=issuer.url)
    return TokenVerifier(settings, keys=JwksClient(issuer.url, clock=clock), clock=lambda: float(NOW))


async def test_public_keys_verify_and_are_fetched_once(by_jwks: TokenVerifier, issuer: Issuer) -> None:
    for subject in ("one", "two", "three"):
        assert (await by_jwks.verify(issuer.token("first", sub=subject))).subject == subject
    assert issuer.fetches == 1


async def test_a_public_key_is_no_hmac_secret(by_jwks: TokenVerifier, issuer: Issuer) -> None:
    """Key confusion: an attacker knows the public key, and signs with it as if it were a shared secret."""

    def part(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    for secret in (issuer.pem("first"), json.dumps(issuer.public("first")).encode()):
        signed = part({"alg": "HS256", "typ": "JWT", "kid": "first"}) + b"." + part(claims())
        signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")
        with pytest.raises(UnauthenticatedError):
            await by_jwks.verify((signed + b"." + signature).decode())
    with pytest.raises(UnauthenticatedError):
        await by_jwks.verify(hs256(claims()))


async def test_an_rsa_token_is_refused_where_a_secret_is_set(issuer: Issuer) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier().verify(issuer.token("first"))


async def test_rotation_is_followed_but_unknown_keys_do_not_hammer_the_issuer(
    by_jwks: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    await by_jwks.verify(issuer.token("first"))
    issuer.rotate("second")
    clock.now += JWKS_REFETCH_AFTER_S + 1
    assert await by_jwks.verify(issuer.token("second"))
    fetch_count = issuer.fetches
    for number in range(20):
        forged = jwt.encode(claims(), issuer.keys["second"], algorithm="RS256", headers={"kid": f"invented-{number}"})
        with pytest.raises(UnauthenticatedError):
            await by_jwks.verify(forged)
    assert issuer.fetches == fetch_count


async def test_known_keys_outlive_an_outage_of_the_issuer(by_jwks: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    await by_jwks.verify(issuer.token("first", sub="before"))
    issuer.is_down = True
    clock.now += JWKS_RENEW_S + 1
    assert await by_jwks.verify(issuer.token("first", sub="during"))


async def test_no_keys_at_all_is_503_not_401(by_jwks: TokenVerifier, issuer: Issuer) -> None:
    issuer.is_down = True
    with pytest.raises(NotReadyError):
        await by_jwks.verify(issuer.token("first"))


# ------------------------------------------------------------------------------------------------------------ over HTTP


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def test_no_credential_is_401(api: Api) -> None:
    with api.client() as client:
        for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
            response = client.get("/api/dashboard/sales-summary", headers=headers)
            refusal(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_role_that_may_not_read_is_403(api: Api, shop: Shop) -> None:
    with api.client(token_for(shop.tenant, role="cashier")) as client:
        assert "manager" in refusal(client.get(ME), 403)["detail"]


def test_an_unknown_tenant_is_403(api: Api) -> None:
    with api.client(token_for("no such tenant' OR true --")) as client:
        refusal(client.get(ME), 403)


def test_an_expired_token_is_401_over_http(api: Api, shop: Shop) -> None:
    with api.client(token_for(shop.tenant, valid_s=-60)) as client:
        assert "expired" in refusal(client.get(ME), 401)["detail"]


@pytest.fixture
def make_key(shop: Shop) -> Callable[..., str]:
    def make(*, expires_at: datetime | None = None, role: str = "viewer") -> str:
        key = new_api_key()
        parameters = {
            "tenant_id": shop.tenant,
            "key_hash": hash_api_key(key),
            "name": "a test",
            "role": role,
            "expires_at": expires_at,
        }
        with shop.installation.route("salespulse_pipeline") as connection:
            connection.execute(query("dashboard.create_api_key"), parameters)
        shop.installation.wait_for_replay()
        return key

    return make


def test_an_api_key_reads_its_tenant(api: Api, shop: Shop, make_key: Callable[..., str]) -> None:
    key = make_key()
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        with api.client(**headers) as client:
            assert client.get(ME).json()["tenant_id"] == shop.tenant
            assert client.get("/api/dashboard/sales-summary").status_code == 200


def test_revoked_expired_and_unknown_keys_are_401(api: Api, shop: Shop, make_key: Callable[..., str]) -> None:
    revoked = make_key()
    with shop.installation.route("salespulse_pipeline") as connection:
        connection.execute(
            "UPDATE salespulse.api_key SET revoked_at = now() WHERE key_hash = %s", [hash_api_key(revoked)]
        )
    shop.installation.wait_for_replay()
    expired = make_key(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    for key in (revoked, expired, new_api_key(), "spk_", "spk_" + "x" * 500, "secret"):
        with api.client(**{"X-API-Key": key}) as client:
            refusal(client.get(ME), 401)


def test_keys_are_kept_as_hashes_only(shop: Shop, make_key: Callable[..., str]) -> None:
    key = make_key()
    with shop.installation.admin() as connection:
        rows = connection.execute("SELECT k::text, key_hash FROM salespulse.api_key AS k").fetchall()
    assert hashlib.sha256(key.encode()).digest() in {bytes(row[1]) for row in rows}
    assert not any(key in row[0] or key.encode().hex() in row[0] for row in rows)


def test_another_secret_serves_none_of_these_tokens(api_settings: Callable[..., Settings], shop: Shop) -> None:
    other = SecretStr("quite another secret, 32 characters or more")
    with serve(api_settings(jwt_secret=other)) as api, api.client(token_for(shop.tenant)) as client:
        refusal(client.get(ME), 401)
