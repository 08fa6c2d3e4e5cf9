"""Policies that change while the service runs: watched in a file or in Redis, and installed as a whole."""

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

log = logging.getLogger(__name__)
POLICIES_KEY = "{p}:policies"


class PolicySource(Protocol):
    """Where policies come from."""

    def stamp(self) -> object:
        """Something cheap that differs whenever the policies differ."""

    def load(self) -> PolicySet:
        """The policies now.

        Raises:
            PolicyFileError: they can't be used.
        """


class FileSource:
    """A TOML or YAML file; replace it by renaming another over it, so that nobody reads half of it.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def stamp(self) -> object:
        """The file's identity, size and time of change."""
        seen = self._path.stat()
        return seen.st_ino, seen.st_size, seen.st_mtime_ns

    def load(self) -> PolicySet:
        """The file's policies; errors as `load_policies`."""
        return load_policies(self._path)


class RedisSource:
    """A document in Redis, put there by `publish_policies`.

    Args:
        client: a sync redis-py client; one of its own, with a timeout, is best.
        prefix: as in `Options`.
    """

    def __init__(self, client: redis.Redis | redis.RedisCluster, prefix: str = "rl") -> None:
        self._client: Any = client
        self._key = prefix + POLICIES_KEY

    def stamp(self) -> object:
        """The published version."""
        return self._client.hget(self._key, "version")

    def load(self) -> PolicySet:
        """The published policies.

        Raises:
            PolicyFileError: none are there, or they can't be used.
        """
        document = self._client.hget(self._key, "document")
        if document is None:
            raise PolicyFileError(f"Redis key {self._key}", None, "no policies are published there")
        # What is no UTF-8 was not published by us; it is refused as text that can't be read, or as an unknown name.
        text = document.decode(errors="replace") if isinstance(document, bytes) else document
        return parse_policies(text, source=f"Redis key {self._key}", is_toml=False)


def publish_policies(
    client: redis.Redis | redis.RedisCluster, document: dict[str, Any], *, prefix: str = "rl"
) -> PolicySet:
    """Check a document (of the same shape as a policy file) and put it where every process's `RedisSource` looks.

    Raises:
        PolicyFileError: it is wrong; nothing was published.
        redis.RedisError: Redis did not take it.
    """
    policies = parse_policies(json.dumps(document), source="the published document", is_toml=False)
    stored = {"version": policies.version, "document": json.dumps({**document, "version": policies.version})}
    connection: Any = client
    connection.hset(prefix + POLICIES_KEY, mapping=stored)
    return policies


class PolicyWatcher:
    """Installs a source's policies whenever they change; a bad document changes nothing.

    Args:
        source: where to look.
        install: what to give a good set to: a limiter's `install`.
        interval_s: how often its thread looks; a change is in force after at most this and one load.
        on_refused: called for a refused document or an unreadable source; `limiter.metrics.reload_failures.add`.
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
        """Look once. True if other policies are in force now; False if not, with `last_error` set if that is bad."""
        try:
            stamp = self._source.stamp()
            if stamp == self._stamp:
                return False
            # Taken before the load: what changes while it loads is seen as another change the next time.
            self._stamp = stamp
            self._install(self._source.load())
        except (PolicyError, redis.RedisError, OSError) as error:
            if str(error) != self.last_error:
                log.error("the policies in force stay: %s", error)  # noqa: TRY400 - the reason is all in the message
            self.last_error = str(error)
            if not isinstance(error, PolicyError):
                # Unreadable now, not bad: look at it again although it has not changed.
                self._stamp = None
            self._on_refused()
            return False
        self.last_error = None
        return True

    def start(self) -> None:
        """Look now, then again and again on a thread of its own until `stop`."""
        self.poll()
        self._thread = threading.Thread(target=self._watch, name="ratelimit-policies", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self.poll()
            except Exception:
                # Whatever it was, the next change must still be seen.
                log.exception("could not look for changed policies; those in force stay")

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
