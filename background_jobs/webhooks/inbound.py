"""Inbound hooks: addresses at which another system may start a tenant's job. A token is in the address; calls are signed."""

import hashlib
import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from background_jobs.errors import SecretError, WebhookUsageError
from background_jobs.kinds import get_kind
from background_jobs.webhooks.signing import new_secret, signing_key
from dbconnect.routes import AsyncConnection, Connection, Row
from dbsql import query

_TOKEN_PREFIX = "sph_"  # noqa: S105 - a prefix, no secret


@dataclass(frozen=True)
class Hook:
    """A hook and the job that it starts.

    Attributes:
        hook_id: a number, which logs may show.
        tenant_id: the job's tenant.
        kind: the job's kind.
        params: the job's parameters, fixed when the hook was created: a call adds none.
        secrets: those that may sign a call, for `verify_signature`.
    """

    hook_id: int
    tenant_id: str
    kind: str
    params: Mapping[str, Any]
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class NewHook:
    """A hook that was just created: token and secret are shown only now.

    Attributes:
        hook_id: a number, which logs may show.
        token: the last part of the hook's address.
        secret: the other system signs with it.
    """

    hook_id: int
    token: str = field(repr=False)
    secret: str = field(repr=False)


async def find_hook(connection: AsyncConnection, token: str) -> Hook | None:
    """Return a token's hook; None if it does not exist or was revoked.

    Args:
        connection: as the dashboard's role, on any server of the warehouse; no tenant need be set.
        token: the last part of the hook's address.
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
    """Create a hook.

    Args:
        connection: as the pipeline's role.
        tenant_id: the job's tenant.
        kind: the job's kind.
        name: a description for people.
        params: the job's parameters.
        secret: one that the other system made; a new one unless given.

    Raises:
        KindError: no such kind, or invalid parameters.
        WebhookUsageError: no such tenant, or a malformed secret.
    """
    secret = _checked_secret(secret)
    get_kind(kind).submission(tenant=tenant_id, params=params)
    token = _TOKEN_PREFIX + random_secrets.token_urlsafe(32)
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
    """Return the hooks of a tenant, or of all, also revoked ones: one row each, without tokens and secrets."""
    return connection.execute(query("webhooks.list_hooks"), {"tenant_id": tenant_id}).fetchall()


def rotate_hook_secret(
    connection: Connection,
    hook_id: int,
    *,
    overlap_s: float,
    secret: str | None = None,
    now: datetime | None = None,
) -> tuple[str, datetime]:
    """Replace a hook's secret; return the new one, and until when the previous one is accepted.

    Raises:
        WebhookUsageError: there is no such active hook, or the secret is malformed.
    """
    secret = _checked_secret(secret)
    parameters = {"hook_id": hook_id, "secret": secret, "overlap_s": overlap_s, "now": now}
    row = connection.execute(query("webhooks.rotate_hook_secret"), parameters).fetchone()
    if row is None:
        raise _no_hook(hook_id)
    return secret, row["previous_secret_until"]


def revoke_hook(connection: Connection, hook_id: int) -> None:
    """Revoke a hook: its address is unknown from now on.

    Raises:
        WebhookUsageError: there is no such active hook.
    """
    if connection.execute(query("webhooks.revoke_hook"), {"hook_id": hook_id}).fetchone() is None:
        raise _no_hook(hook_id)


def _no_hook(hook_id: int) -> WebhookUsageError:
    return WebhookUsageError(f"there is no active hook {hook_id}; `salespulse webhook hook list` shows them")


def _checked_secret(secret: str | None) -> str:
    if secret is None:
        return new_secret()
    try:
        signing_key(secret)
    except SecretError as error:
        raise WebhookUsageError(str(error)) from None
    return secret


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
