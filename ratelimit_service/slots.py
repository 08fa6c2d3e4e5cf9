"""Slots in flight: what a running request holds. The limiter takes, renews and releases them."""

from __future__ import annotations

from ratelimit_service.calls import Call
from ratelimit_service.decision import Decision
from ratelimit_service.errors import UsageError
from ratelimit_service.script import SLOT_ID_BYTES
from ratelimit_service.transport import BusyError, CircuitOpenError

RENEWALS_PER_LEASE = 3
UNSENT_RELEASES_MAX = 1000
"""Releases that Redis did not answer and that are sent again; the slots of further ones return with their leases."""


def read_slot_id(text: str) -> bytes:
    """Return the bytes of a slot's `id`.

    Raises:
        UsageError: the text is not a slot's id.
    """
    try:
        slot_id = bytes.fromhex(text)
    except ValueError:
        slot_id = b""
    if len(slot_id) != SLOT_ID_BYTES:
        raise UsageError(f"a slot's id has {SLOT_ID_BYTES * 2} hexadecimal digits, not {text!r}")
    return slot_id


def may_hold_slot(call: Call, decision: Decision, error: BaseException) -> bool:
    """Whether a call that failed with `error` and was refused may have taken a slot: Redis may have run the script."""
    return bool(call.slot_id) and not decision.allowed and not isinstance(error, CircuitOpenError | BusyError)


class SlotLease:
    """A slot that can be renewed and released.

    Attributes:
        lease_s: seconds after which the slot returns unless it is renewed.
        is_lost: whether it ended before it was renewed; another holder may have it.
    """

    __slots__ = ("call", "is_lost", "is_released", "lease_s")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_lost = False
        self.is_released = False
        self.lease_s = min(call.compiled.limits[number].period_s for number in call.compiled.in_flight)

    @property
    def id(self) -> str:
        """The slot's unique id, as hexadecimal digits."""
        return self.call.slot_id.hex()


class Slot(SlotLease):
    """A slot that this process took.

    Attributes:
        decision: the decision that granted it.
    """

    __slots__ = ("decision",)

    def __init__(self, call: Call, decision: Decision) -> None:
        super().__init__(call)
        self.decision = decision
