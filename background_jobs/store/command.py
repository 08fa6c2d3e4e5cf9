"""What both stores run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
Argument: TypeAlias = str | bytes | int
#: The most jobs that one call reads or changes.
LIMIT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """One script call: the operation, its arguments after the time, and how its reply is read."""

    operation: str
    arguments: Sequence[Argument]
    read: Callable[[Any], T]
    now_ms: int | None = None
