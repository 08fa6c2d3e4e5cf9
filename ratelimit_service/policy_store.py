"""Reload policies while the service runs: watch a file or Redis, and install each new set as a whole."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import redis
import redis.asyncio

from ratelimit_service.errors import PolicyError, PolicyFileError
from ratelimit_service.policy import PolicySet
from ratelimit_service.policy_file import load_policies, parse_policies

_logger = logging.getLogger(__name__)
POLICIES_KEY = "{p}:policies"


class PolicySource(Protocol):
    """A place that policies are loaded from."""

    def stamp(self) -> object:
        """Return a cheap value that changes whenever the policies do."""

    def load(self) -> PolicySet:
        """Return the current policies.

        Raises:
            PolicyFileError: they are invalid.
        """


class FileSource:
    """A TOML or YAML file. Replace it by renaming another over it, so that no half-written file is read."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def stamp(self) -> object:
        """Return the file's identity, size and time of change."""
        status = self._path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def load(self) -> PolicySet:
        """Return the file's policies; errors as `load_policies`."""
        return load_policies(self._path)


class RedisSource:
    """A document in Redis, written by `publish_policies`.

    Args:
        client: a sync redis-py client, preferably its own and with a timeout.
        prefix: as in `Options`.
    """

    def __init__(self, client: redis.Redis | redis.RedisCluster, prefix: str = "rl") -> None:
        self._client: Any = client
        self._key = prefix + POLICIES_KEY

    def stamp(self) -> object:
        """Return the published version."""
        return self._client.hget(self._key, "version")

    def load(self) -> PolicySet:
        """Return the published policies.

        Raises:
            PolicyFileError: there are none, or they are invalid.
        """
        document = self._client.hget(self._key, "document")
        if document is None:
            raise PolicyFileError(f"Redis key {self._key}", None, "no policies are published; call publish_policies()")
        # A document that is not UTF-8 was not published by publish_policies; the parser refuses it.
        text = document.decode(errors="replace") if isinstance(document, bytes) else document
        return parse_policies(text, source=f"Redis key {self._key}", is_toml=False)


def publish_policies(
    client: redis.Redis | redis.RedisCluster, document: dict[str, Any], *, prefix: str = "rl"
) -> PolicySet:
    """Validate a document (structured as a policy file) and write it to where every `RedisSource` reads.

    Raises:
        PolicyFileError: it is invalid; nothing was published.
        redis.RedisError: Redis did not store it.
    """
    policies = parse_policies(json.dumps(document), source="the published document", is_toml=False)
    fields = {"version": policies.version, "document": json.dumps({**document, "version": policies.version})}
    connection: Any = client
    connection.hset(prefix + POLICIES_KEY, mapping=fields)
    return policies


class PolicyWatcher:
    """Install a source's policies whenever they change; an invalid document changes nothing.

    Args:
        source: the source to poll.
        install: called with each new policy set: a limiter's `install`.
        interval_s: seconds between polls of its thread; a change takes effect after at most this and one load.
        on_refused: called for an invalid document or unreadable source: `limiter.metrics.reload_failures.add`.
    """

    def __init__(
        self,
        source: PolicySource,
        install: Callable[[PolicySet], None],
        *,
        interval_s: float = 0.5,
        on_refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._source = source
        self._install = install
        self._interval_s = interval_s
        self._on_refused = on_refused
        self._stamp: object = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.last_error: str | None = None

    def poll(self) -> bool:
        """Poll once. True if a new set was installed; False otherwise, with `last_error` set after a failure."""
        try:
            stamp = self._source.stamp()
            if stamp == self._stamp:
                return False
            # Stored before the load, so that a change during the load is noticed by the next poll.
            self._stamp = stamp
            self._install(self._source.load())
        except (PolicyError, redis.RedisError, OSError) as error:
            if str(error) != self.last_error:
                _logger.error("new policies were not installed, the old ones stay in force: %s", error)  # noqa: TRY400 - the message has the reason
            self.last_error = str(error)
            if not isinstance(error, PolicyError):
                # Unreadable, not invalid: read it again although it has not changed.
                self._stamp = None
            self._on_refused()
            return False
        self.last_error = None
        return True

    def start(self) -> None:
        """Poll now, then on a thread of its own until `stop`."""
        self.poll()
        self._thread = threading.Thread(target=self._watch, name="ratelimit-policies", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self.poll()
            except Exception:
                # Whatever the error, later changes must still be noticed.
                _logger.exception("polling for changed policies failed; the old ones stay in force")

    def stop(self) -> None:
        """Stop polling."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
