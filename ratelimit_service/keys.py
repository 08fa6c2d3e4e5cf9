"""Make Redis keys from key values: short, bounded, injective, and all keys of a decision in one cluster slot."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import TypeAlias

from ratelimit_service.errors import UsageError
from ratelimit_service.limits import Algorithm, Limit, key_parts

KeyPart: TypeAlias = str | bytes | int
Key: TypeAlias = KeyPart | Mapping[str, KeyPart]

# Up to 17 plain characters are used as they are: as long as a digest with its tilde. With prefix, limit and hash tag
# a key then has 28, the maximum that Redis stores in 32 bytes. No braces (hash tag), comma (separator) or tilde.
_PLAIN = re.compile(r"[A-Za-z0-9_.@:-]{1,17}").fullmatch
_DIGEST_BYTES = 12
_LIMIT_BYTES = 5


def digest(value: bytes, size: int = _DIGEST_BYTES) -> bytes:
    """Return BLAKE2b of `size` bytes, in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.blake2b(value, digest_size=size).digest()).rstrip(b"=")


def encode_part(value: KeyPart) -> bytes:
    """Return a value's form in a Redis key: itself if short and plain, else `~` and its 96-bit digest.

    `"7"`, `b"7"` and `7` are the same key. Any content is allowed: empty, NUL, newline, 10 kB.

    Raises:
        UsageError: the value is not a string, bytes or an integer.
    """
    if value.__class__ is str:
        return value.encode() if _PLAIN(value) else b"~" + digest(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return encode_part(value.decode("latin-1")) if value.isascii() else b"~" + digest(value)
    if isinstance(value, str):
        return encode_part(str.__str__(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return encode_part(str(value))
    raise UsageError(f"a key must be a string, bytes or an integer, not {type(value).__name__}")


def limit_id(policy: str, limit: Limit, *, is_shadow: bool) -> bytes:
    """Return seven characters (40 bits) that identify a limit's counts, by policy, definition and mode.

    So an unchanged limit keeps its counts over a reload, and a changed one starts at zero.
    """
    # Up to 0.2.0 a log had a member per unit. Such a key is never read again: it expires after its period.
    state_format = "\0charges" if limit.algorithm is Algorithm.LOG else ""
    return digest(f"{policy}\0{limit.text}\0{is_shadow}{state_format}".encode(), _LIMIT_BYTES)


class KeyMaker:
    """Make the Redis keys of one policy.

    Attributes:
        parts: names of the required key parts, in order.
        spans_slots: whether a cluster may place its keys on different nodes, since its limits share no part.
    """

    __slots__ = ("_limits", "_one", "_tag", "_tag_parts", "parts", "spans_slots")

    def __init__(self, prefix: str, policy: str, limits: tuple[Limit, ...], *, is_shadow: bool, one_slot: bool) -> None:
        self.parts = key_parts(limits)
        shared = tuple(part for part in self.parts if all(part in limit.per for limit in limits))
        is_constant = not shared and (one_slot or len(limits) == 1 or not self.parts)
        self.spans_slots = not shared and not is_constant
        self._tag = encode_part(policy) if is_constant else b""
        self._tag_parts = shared
        self._limits = [
            (prefix.encode() + limit_id(policy, limit, is_shadow=is_shadow), [p for p in limit.per if p not in shared])
            for limit in limits
        ]
        is_one = len(self.parts) == 1 and all(limit.per == self.parts for limit in limits)
        self._one = [head + b"{" for head, _ in self._limits] if is_one else None

    def make(self, key: Key | None) -> list[bytes]:
        """Return one Redis key per limit, in the policy's order.

        Raises:
            UsageError: a part is missing, or a single value was passed for several parts.
        """
        if self._one is not None and (key.__class__ is str or not isinstance(key, Mapping)):
            tail = self._only_part(key) + b"}"
            return [head + tail for head in self._one]
        values = self._values(key)
        tag = self._tag or b",".join([values[part] for part in self._tag_parts])
        hash_tag = b"{" + tag + b"}" if tag else b"/"
        return [head + hash_tag + b",".join([values[part] for part in rest]) for head, rest in self._limits]

    def _values(self, key: Key | None) -> dict[str, bytes]:
        if not self.parts:
            return {}
        if isinstance(key, Mapping):
            missing = [part for part in self.parts if part not in key]
            if missing:
                raise UsageError(f"the policy counts per {', '.join(self.parts)}; {', '.join(missing)} is missing")
            return {part: encode_part(key[part]) for part in self.parts}
        if len(self.parts) > 1:
            raise UsageError(f"the policy counts per {', '.join(self.parts)}: pass a mapping with these parts")
        return {self.parts[0]: self._only_part(key)}

    def _only_part(self, key: KeyPart | None) -> bytes:
        if key is None:
            raise UsageError(f"the policy counts per {self.parts[0]}: pass its value as the key")
        return encode_part(key)

    def mark(self, first_key: bytes, mark_id: str) -> bytes:
        """Return the key that stores a refund's id, in the same slot as the counts."""
        head, brace, tail = first_key.partition(b"{")
        return head + b"r" + (brace + tail if brace else tail) + b"~" + digest(mark_id.encode())
