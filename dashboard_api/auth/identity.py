"""Who a request is from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller.

    Attributes:
        subject: who, unique within the tenant: the token's `sub`, or `key:<id>`.
        tenant_id: the application's own id of the tenant.
        role: what the application calls the caller's role.
        currency: ISO 4217 code to show beside money, where the token says one; figures carry none.
        expires_at: seconds since the epoch after which this must be verified again.
    """

    subject: str
    tenant_id: str
    role: str
    currency: str | None
    expires_at: float
