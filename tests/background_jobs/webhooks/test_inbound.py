"""Inbound hooks: found by their token alone, with the secrets that sign their calls."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.rows import dict_row
from standardwebhooks import Webhook

from background_jobs.kinds import KindError
from background_jobs.webhooks import InvalidSignatureError, WebhookUsageError, new_secret, verify_signature
from background_jobs.webhooks.inbound import (
    Hook,
    create_hook,
    find_hook,
    list_hooks,
    revoke_hook,
    rotate_hook_secret,
)
from dbconnect.routes import AsyncConnection, Connection
from tests.background_jobs.webhooks.job_documents import OTHER_TENANT, TENANT
from tests.warehouse import Installation

KIND = "hello_world"


@pytest.fixture
async def dashboard(installation: Installation) -> AsyncIterator[AsyncConnection]:
    """As the API reads: the dashboard's role on the standby."""
    url = installation.url("salespulse_dashboard", server=installation.pair.standby)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


async def find(installation: Installation, dashboard: AsyncConnection, token: str) -> Hook | None:
    installation.wait_for_replay()
    async with dashboard.transaction():
        await dashboard.execute("SET TRANSACTION READ ONLY")
        return await find_hook(dashboard, token)


async def test_a_token_gives_its_hook_and_no_other(
    installation: Installation, warehouse: Connection, dashboard: AsyncConnection
) -> None:
    hook = create_hook(warehouse, TENANT, KIND, name="the till", params={"steps": 3})
    other = create_hook(warehouse, OTHER_TENANT, KIND, name="another till")
    assert await find(installation, dashboard, hook.token) == Hook(
        hook.hook_id, TENANT, KIND, {"steps": 3}, (hook.secret,)
    )
    other_hook = await find(installation, dashboard, other.token)
    assert other_hook is not None
    assert other_hook.tenant_id == OTHER_TENANT
    for token in ("", hook.token[:-1], hook.token + " ", "\udcff", "'; --"):
        assert await find(installation, dashboard, token) is None


async def test_another_systems_signature_is_verified(
    installation: Installation, warehouse: Connection, dashboard: AsyncConnection
) -> None:
    hook = create_hook(warehouse, TENANT, KIND, name="the till")
    stored_hook = await find(installation, dashboard, hook.token)
    assert stored_hook is not None
    body, now = b'{"type":"stock.counted"}', datetime.now(UTC)
    signature = Webhook(hook.secret).sign("msg_from_the_till", now, body.decode())
    headers = {
        "webhook-id": "msg_from_the_till",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert verify_signature(stored_hook.secrets, headers, body, now_s=time.time()) == "msg_from_the_till"
    with pytest.raises(InvalidSignatureError):
        verify_signature(stored_hook.secrets, headers, body + b" ", now_s=time.time())


async def test_a_rotated_secret_is_accepted_for_a_while(
    installation: Installation, warehouse: Connection, dashboard: AsyncConnection
) -> None:
    hook = create_hook(warehouse, TENANT, KIND, name="the till")
    new, _ = rotate_hook_secret(warehouse, hook.hook_id, overlap_s=3600)
    stored_hook = await find(installation, dashboard, hook.token)
    assert stored_hook is not None
    assert stored_hook.secrets == (new, hook.secret)
    theirs = new_secret()
    assert rotate_hook_secret(warehouse, hook.hook_id, overlap_s=0, secret=theirs)[0] == theirs
    stored_hook = await find(installation, dashboard, hook.token)
    assert stored_hook is not None
    assert stored_hook.secrets == (theirs,)


async def test_a_revoked_hook_and_a_deleted_tenants_hook_are_not_found(
    installation: Installation, warehouse: Connection, dashboard: AsyncConnection
) -> None:
    hook = create_hook(warehouse, TENANT, KIND, name="the till")
    other = create_hook(warehouse, OTHER_TENANT, KIND, name="another till")
    revoke_hook(warehouse, hook.hook_id)
    warehouse.execute("UPDATE salespulse.dim_tenant SET is_deleted = true WHERE tenant_id = %s", [OTHER_TENANT])
    assert await find(installation, dashboard, hook.token) is None
    assert await find(installation, dashboard, other.token) is None
    for change in (
        lambda: revoke_hook(warehouse, hook.hook_id),
        lambda: rotate_hook_secret(warehouse, hook.hook_id, overlap_s=1),
    ):
        with pytest.raises(WebhookUsageError, match=f"no active hook {hook.hook_id}"):
            change()


def test_neither_token_nor_secret_is_stored_or_shown(warehouse: Connection) -> None:
    hook = create_hook(warehouse, TENANT, KIND, name="the till")
    stored = str(warehouse.execute("SELECT to_jsonb(h) - 'secret' AS row FROM salespulse.inbound_hook AS h").fetchall())
    listed = f"{list_hooks(warehouse)} {list_hooks(warehouse, TENANT)} {hook}"
    assert list_hooks(warehouse, OTHER_TENANT) == []
    assert hook.token not in stored + listed
    assert hook.secret not in stored + listed


def test_invalid_arguments_are_refused(warehouse: Connection) -> None:
    with pytest.raises(WebhookUsageError, match="no tenant"):
        create_hook(warehouse, "nobody", KIND, name="the till")
    with pytest.raises(KindError, match="there is no job kind 'sing'"):
        create_hook(warehouse, TENANT, "sing", name="the till")
    with pytest.raises(KindError, match=r"steps: .*integer"):
        create_hook(warehouse, TENANT, KIND, name="the till", params={"steps": "many"})
    with pytest.raises(WebhookUsageError, match="whsec_"):
        create_hook(warehouse, TENANT, KIND, name="the till", secret="hunter2")


async def test_the_dashboards_role_writes_nothing(installation: Installation, warehouse: Connection) -> None:
    url = installation.url("salespulse_dashboard")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "UPDATE salespulse.inbound_hook SET kind = 'x'",
            "INSERT INTO salespulse.webhook_endpoint (tenant_key, url, secret) VALUES (1, 'x', 'whsec_x')",
            "DELETE FROM salespulse.webhook_delivery",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
