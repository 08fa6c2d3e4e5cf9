"""Find the cluster node for a key, corrected by MOVED replies (a redirected check was not executed)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from redis.crc import key_slot

NodeAddress = tuple[str, int]


class ClusterMap:
    """Slots and their nodes' addresses. After the start no CLUSTER SLOTS is needed: any node replies MOVED.

    Args:
        slots: each slot's master.
        addresses: all known nodes, replicas included.
    """

    def __init__(self, slots: Iterable[tuple[int, NodeAddress]], addresses: Iterable[NodeAddress]) -> None:
        self._slots = dict(slots)
        self._addresses = list(dict.fromkeys([*addresses, *self._slots.values()]))
        self._suspects: dict[NodeAddress, int] = {}

    @classmethod
    def of_nodes(cls, slots: Mapping[int, Sequence[Any]], nodes: Iterable[Any]) -> Self:
        """Return the map that a redis-py cluster client has: its nodes by slot, masters first, and all its nodes."""
        return cls(((slot, _address(replicas[0])) for slot, replicas in slots.items()), map(_address, nodes))

    @classmethod
    def of_reply(
        cls, reply: Sequence[Any], source: NodeAddress, remap: Callable[[NodeAddress], NodeAddress] | None
    ) -> Self:
        """Return the map that a CLUSTER SLOTS reply describes.

        Args:
            reply: first slot, last slot, then (host, port, ...) of the master and each replica, per range.
            source: the node that replied; it may not know its own host.
            remap: the cluster client's `address_remap`.
        """

        def address(node: Sequence[Any]) -> NodeAddress:
            node_address = ((node[0] or b"").decode() or source[0], int(node[1]))
            return remap(node_address) if remap else node_address

        slots = {slot: address(row[2]) for row in reply for slot in range(row[0], row[1] + 1)}
        return cls(slots.items(), (address(node) for row in reply for node in row[2:]))

    def owner(self, key: bytes) -> NodeAddress:
        """Return the node that has the key's slot, as far as is known."""
        return self._slots.get(key_slot(key)) or self._addresses[0]

    def target(self, owner: NodeAddress) -> NodeAddress:
        """Return the node to call for an owner's slots: itself or, after failures, each of the others in turn."""
        failures = self._suspects.get(owner)
        if not failures:
            return owner
        others = [address for address in self._addresses if address != owner]
        turn = failures % (len(others) + 1)
        return others[turn - 1] if turn else owner

    def record_move(self, slot: int, address: NodeAddress) -> None:
        """Move a slot to an address. If its old owner had failed, move all of that node's slots."""
        old = self._slots.get(slot)
        if address not in self._addresses:
            self._addresses.append(address)
        self._slots[slot] = address
        if old is not None and old != address and old in self._suspects:
            self._slots.update((other, address) for other, node in tuple(self._slots.items()) if node == old)

    def record_failure(self, owner: NodeAddress) -> None:
        """Count a failed call for an owner's slots."""
        self._suspects[owner] = self._suspects.get(owner, 0) + 1

    def record_success(self, address: NodeAddress) -> None:
        """Clear a node's failures: it answered."""
        self._suspects.pop(address, None)


def _address(node: Any) -> NodeAddress:
    return str(node.host), int(node.port)
