"""The scripts, one per operation: the shared fragments, lua/<operation>.lua and this store's constants; and a call of one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Generic, TypeAlias, TypeVar

from background_jobs.store.options import JobStoreOptions

_FRAGMENTS = ("prelude", "queue", "moves", "deadlines")
_OPERATIONS = (
    "adopt",
    "cancel",
    "claim",
    "count",
    "dispatched",
    "end_canceled",
    "epoch",
    "events",
    "fail",
    "feed_bounds",
    "gauge",
    "list",
    "note",
    "prune",
    "read",
    "release",
    "report",
    "restore",
    "started",
    "stats",
    "submit",
    "succeed",
    "sweep",
)

#: Upper bounds of the buckets of every histogram, in seconds.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)

T = TypeVar("T")
Argument: TypeAlias = str | bytes | int
#: The most jobs that one call reads or changes.
LIMIT_MAX = 1_000

_lua = files("background_jobs.store") / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the SHA-1 by which Redis knows it (nothing here rests on its strength)."""

    text: bytes
    sha: bytes


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """One script call: the operation, its arguments after the time, and the function that reads its reply."""

    operation: str
    arguments: Sequence[Argument]
    read: Callable[[Any], T]
    now_ms: int | None = None


def _constants(options: JobStoreOptions) -> str:
    values = {
        "events_ms": round(options.events_s * 1000),
        "documents_ms": round(options.documents_s * 1000),
        "idempotency_ms": round(options.idempotency_s * 1000),
        "gauge_ms": round(options.gauge_s * 1000),
        "events_length": options.events_length,
        "feed_length": options.feed_length,
        "queued_per_tenant": options.queued_per_tenant,
        "queued": options.queued,
    }
    pairs = ", ".join(f"{name} = {value}" for name, value in values.items())
    bounds = ", ".join(str(round(bound * 1000)) for bound in BOUNDS_S)
    return f"local OPTIONS = {{ {pairs} }}\nlocal BOUNDS_MS = {{ {bounds} }}"


def load_scripts(options: JobStoreOptions) -> Mapping[str, Script]:
    """All scripts by operation."""
    texts = {name: (_lua / f"{name}.lua").read_text(encoding="utf-8") for name in (*_FRAGMENTS, *_OPERATIONS)}
    shared = "\n".join([_constants(options), *(texts[name] for name in _FRAGMENTS)])
    scripts = {}
    for name in _OPERATIONS:
        text = f"{shared}\n{texts[name]}".encode()
        scripts[name] = Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())
    return scripts
