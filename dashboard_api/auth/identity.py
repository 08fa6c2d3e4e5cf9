"""The value objects that verification results in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified user or machine.

    Attributes:
        subject: unique within the tenant: the token's `sub`, or `key:<id>`.
        tenant_id: the application's own id of the tenant.
        role: the application's name of the role.
        currency: ISO 4217 code to show beside money, where the token has one; figures carry none.
        expires_at: when this must be verified again, in seconds since the epoch.
    """

    subject: str
    tenant_id: str
    role: str
    currency: str | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity that may read the dashboard of the tenant with this surrogate key."""

    identity: Identity
    tenant_key: int
