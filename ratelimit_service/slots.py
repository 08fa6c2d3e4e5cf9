"""A slot in flight, held: what a request occupies while it runs, and what comes back when its holder is gone."""

from __future__ import annotations

from ratelimit_service.core import Call
from ratelimit_service.decision import Decision
from ratelimit_service.errors import UsageError

SLOT_ID_BYTES = 6
"""Random ones: as many as the script keeps in an integer beside the lease's end (lua/slots.lua)."""


def read_slot_id(text: str) -> bytes:
    """The bytes of a slot's `id`.

    Raises:
        UsageError: it is not one.
    """
    try:
        slot_id = bytes.fromhex(text)
    except ValueError:
        slot_id = b""
    if len(slot_id) != SLOT_ID_BYTES:
        raise UsageError(f"a slot's id is {SLOT_ID_BYTES * 2} hexadecimal digits, not {text!r}")
    return slot_id


class SlotLease:
    """What it takes to renew and release a slot; the limiter does both.

    Attributes:
        lease_s: seconds after which Redis gives the slot to others unless it is renewed.
        is_lost: it ended before it was renewed: another holder may have it now.
    """

    __slots__ = ("call", "is_lost", "is_released", "lease_s")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_lost = False
        self.is_released = False
        self.lease_s = min(call.plan.limits[at].period_s for at in call.plan.in_flight)

    @property
    def id(self) -> str:
        """The lease's id, unique to this slot."""
        return self.call.slot_id.hex()


class Slot(SlotLease):
    """A taken slot.

    Attributes:
        decision: the answer that took it.
    """

    __slots__ = ("decision",)

    def __init__(self, call: Call, decision: Decision) -> None:
        super().__init__(call)
        self.decision = decision
