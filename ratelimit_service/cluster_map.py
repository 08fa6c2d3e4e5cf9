"""Which node of a cluster to ask for a key, learned from MOVED answers: a redirected check was not executed."""

from __future__ import annotations

from collections.abc import Iterable

from redis.crc import key_slot

Address = tuple[str, int]


class ClusterMap:
    """Slots to addresses. After the start it needs no CLUSTER SLOTS: any node answers MOVED with the right one.

    Args:
        slots: what the client knew: each slot's master.
        addresses: all known nodes, replicas included.
    """

    def __init__(self, slots: Iterable[tuple[int, Address]], addresses: Iterable[Address]) -> None:
        self._slots = dict(slots)
        self._addresses = list(dict.fromkeys([*addresses, *self._slots.values()]))
        self._suspects: dict[Address, int] = {}

    def owner(self, key: bytes) -> Address:
        """The node that has the key's slot, as far as is known."""
        return self._slots.get(key_slot(key)) or self._addresses[0]

    def ask(self, owner: Address) -> Address:
        """Whom to ask about an owner's slots: itself, or after it failed each of the others in turn."""
        failures = self._suspects.get(owner)
        if not failures:
            return owner
        others = [address for address in self._addresses if address != owner]
        turn = failures % (len(others) + 1)
        return others[turn - 1] if turn else owner

    def moved(self, slot: int, to: Address) -> None:
        """A node said where a slot is. What else stood at a failed address has probably moved with it."""
        old = self._slots.get(slot)
        if to not in self._addresses:
            self._addresses.append(to)
        self._slots[slot] = to
        if old is not None and old != to and old in self._suspects:
            self._slots.update((other, to) for other, at in tuple(self._slots.items()) if at == old)

    def failed(self, owner: Address) -> None:
        """Asking about an owner's slots gave nothing."""
        self._suspects[owner] = self._suspects.get(owner, 0) + 1

    def answered(self, address: Address) -> None:
        """A node decided something: it is well."""
        self._suspects.pop(address, None)
