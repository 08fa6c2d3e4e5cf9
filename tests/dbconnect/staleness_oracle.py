"""An oracle of staleness: what was committed when, beside what a read showed."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from dbconnect import Read, commit_token

# Reading a clock and taking a snapshot are not one moment.
TOLERANCE_S = 0.05


class Truth:
    """A writer that counts up on the primary, and knows when each number was committed."""

    def __init__(self, admin_url: str) -> None:
        self._url = admin_url
        self._stop = threading.Event()
        self.committed_at: list[float] = []  # of number i + 1
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS salespulse.truth (number integer)")
            connection.execute("TRUNCATE salespulse.truth")
            connection.execute("INSERT INTO salespulse.truth VALUES (0)")
            connection.execute("GRANT SELECT ON salespulse.truth TO salespulse_dashboard")
            self.token = commit_token(connection)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def newest(self) -> tuple[int, str]:
        """The newest committed number, and its token."""
        while True:
            number, token = len(self.committed_at), self.token
            if number == len(self.committed_at):
                return number, token

    def age_s(self, number: int, asked_at: float) -> float:
        """How old a state is that ends with this number, for one who asked at that moment."""
        if number >= len(self.committed_at):
            return 0.0
        return max(0.0, asked_at - self.committed_at[number])

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as connection:
                    row = connection.execute("SELECT number FROM salespulse.truth").fetchone()
                    number = self._catch_up(row[0]) if row else 0
                    while not self._stop.wait(0.005):
                        connection.execute("UPDATE salespulse.truth SET number = %s", (number + 1,))
                        number += 1
                        at = time.monotonic()
                        self.token = commit_token(connection)
                        self.committed_at.append(at)
            except psycopg.OperationalError:
                self._stop.wait(0.02)

    def _catch_up(self, number: int) -> int:
        # The connection may have died between a commit and its answer.
        while len(self.committed_at) < number:
            self.committed_at.append(time.monotonic())
        return number


@dataclass
class Findings:
    """What reads showed: how many ended how, and every promise broken."""

    ends: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def count(self, end: str) -> None:
        self.ends[end] = self.ends.get(end, 0) + 1

    def judge(self, truth: Truth, read: Read[Any], number: int, *, asked_at: float, bound_s: float, least: int) -> None:
        """Compare one read with the truth.

        `least`: the number that its token promised.
        """
        self.count("stale" if read.is_stale else "fallback" if read.is_fallback else "fresh")
        age_s = truth.age_s(number, asked_at)
        if not read.is_stale and age_s > bound_s + TOLERANCE_S:
            self.broken.append(f"{age_s:.3f} s old and not marked stale: {read}")
        if read.staleness_s is None or age_s > read.staleness_s + TOLERANCE_S:
            self.broken.append(f"{age_s:.3f} s old, and said {read.staleness_s}: {read}")
        if number < least:
            self.broken.append(f"the token promised {least}, the read showed {number}: {read}")
