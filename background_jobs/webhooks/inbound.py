"""Hooks: addresses at which another system may start a tenant's job. The token is the address, the signature the proof."""

import hashlib
import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from background_jobs.kinds import kind_named
from background_jobs.webhooks.errors import SecretError, WebhookUsageError
from background_jobs.webhooks.secret import new_secret, signing_key
from background_jobs.webhooks.signing import verify
from dbconnect.routes import AsyncConnection, Connection, Row
from dbsql import query

__all__ = ["Hook", "NewHook", "create_hook", "find_hook", "list_hooks", "revoke_hook", "rotate_hook_secret", "verify"]

_PREFIX = "sph_"


@dataclass(frozen=True)
class Hook:
    """What a call of a hook starts.

    Attributes:
        hook_id: running number; fit for logs.
        tenant_id: whose job it is.
        kind: of the job.
        params: of the job, fixed when the hook was made: a call's body adds none.
        secrets: those by which a call may be signed, for `verify`.
    """

    hook_id: int
    tenant_id: str
    kind: str
    params: Mapping[str, Any]
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class NewHook:
    """A hook just made: token and secret are shown this once.

    Attributes:
        hook_id: running number.
        token: the last part of its address.
        secret: what the other system signs with.
    """

    hook_id: int
    token: str = field(repr=False)
    secret: str = field(repr=False)


async def find_hook(connection: AsyncConnection, token: str) -> Hook | None:
    """Give the hook of a token; None: there is none, or it was revoked.

    Args:
        connection: as the dashboard's role, on any server of the warehouse; no tenant need be set.
        token: from the address.
    """
    cursor = await connection.execute(query("webhooks.find_hook"), {"token_hash": _hash(token)})
    row = await cursor.fetchone()
    return None if row is None else Hook(**{**row, "secrets": tuple(row["secrets"])})


def create_hook(
    connection: Connection,
    tenant_id: str,
    kind: str,
    *,
    name: str,
    params: Mapping[str, Any] | None = None,
    secret: str | None = None,
) -> NewHook:
    """Make a hook.

    Args:
        connection: as the pipeline's role.
        tenant_id: whose job it starts.
        kind: of the job.
        name: what a person calls it.
        params: of the job.
        secret: where the other system makes its own; a new one unless given.

    Raises:
        KindError: no such kind, or parameters that it refuses.
        WebhookUsageError: no such tenant, or a secret that is not in the form.
    """
    secret = _checked(secret)
    kind_named(kind).submission(tenant=tenant_id, params=params)
    token = _PREFIX + random_secrets.token_urlsafe(32)
    parameters = {
        "tenant_id": tenant_id,
        "token_hash": _hash(token),
        "name": name,
        "kind": kind,
        "params": Jsonb(dict(params or {})),
        "secret": secret,
    }
    row = connection.execute(query("webhooks.create_hook"), parameters).fetchone()
    if row is None:
        raise WebhookUsageError(f"no tenant has the id {tenant_id!r} in the warehouse")
    return NewHook(row["hook_id"], token, secret)


def list_hooks(connection: Connection, tenant_id: str | None = None) -> list[Row]:
    """Give the hooks of a tenant, or of every one, revoked ones too: one row each, without tokens and secrets."""
    return connection.execute(query("webhooks.list_hooks"), {"tenant_id": tenant_id}).fetchall()


def rotate_hook_secret(
    connection: Connection,
    hook_id: int,
    *,
    overlap_s: float,
    secret: str | None = None,
    now: datetime | None = None,
) -> tuple[str, datetime]:
    """Give a hook another secret; return it, and until when calls signed by the one before are taken.

    Raises:
        WebhookUsageError: there is no such hook in force, or a secret that is not in the form.
    """
    secret = _checked(secret)
    parameters = {"hook_id": hook_id, "secret": secret, "overlap_s": overlap_s, "now": now}
    row = connection.execute(query("webhooks.rotate_hook_secret"), parameters).fetchone()
    if row is None:
        raise _no_hook(hook_id)
    return secret, row["previous_secret_until"]


def revoke_hook(connection: Connection, hook_id: int) -> None:
    """End a hook: its address is unknown from now on.

    Raises:
        WebhookUsageError: there is no such hook in force.
    """
    if connection.execute(query("webhooks.revoke_hook"), {"hook_id": hook_id}).fetchone() is None:
        raise _no_hook(hook_id)


def _no_hook(hook_id: int) -> WebhookUsageError:
    return WebhookUsageError(f"no hook {hook_id} is in force; `salespulse webhook hook list` shows them")


def _checked(secret: str | None) -> str:
    if secret is None:
        return new_secret()
    try:
        signing_key(secret)
    except SecretError as error:
        raise WebhookUsageError(str(error)) from None
    return secret


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
