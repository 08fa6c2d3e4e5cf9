"""Sessions of an application: several real connections with transactions of their own."""

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.pipelines.source.operations import FOLDER, Operation, World, read_statements
from tests.warehouse import Installation

# What an application runs into and lives with: rows that are gone or locked, keys that exist.
_EXPECTED = (
    psycopg.errors.IntegrityError,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.ObjectInUse,
)


class Session:
    """One connection; outside a transaction each statement commits by itself."""

    def __init__(self, installation: Installation) -> None:
        self.connection = installation.application()
        # Everything runs in one thread: waiting for another session's lock would be waiting for ever.
        self.connection.execute("SET lock_timeout = '40ms'")
        self.statements = read_statements(FOLDER / installation.source_name / "operations.sql")
        self.savepoints = 0

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def run(self, world: World, operation: Operation, a: int, b: int, c: int) -> None:
        """Do an operation; where a statement fails, go back to the savepoint, else end the transaction."""
        for name, parameters in operation(world, a, b, c):
            if not self._execute(self.statements[name], parameters):
                return

    def begin(self) -> None:
        if not self.is_open:
            self.connection.execute("BEGIN")

    def savepoint(self) -> None:
        if self.is_open:
            self.savepoints += 1
            self.connection.execute(sql.SQL("SAVEPOINT {}").format(self._name()))

    def rollback_to(self) -> None:
        if self.savepoints:
            self.connection.execute(sql.SQL("ROLLBACK TO SAVEPOINT {}").format(self._name()))

    def release(self) -> None:
        if self.savepoints:
            self.connection.execute(sql.SQL("RELEASE SAVEPOINT {}").format(self._name()))
            self.savepoints -= 1

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def prepare(self, gid: str) -> bool:
        """First phase of a two-phase commit; whether there was a transaction."""
        was_open = self.is_open
        if was_open:
            self.connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)))
            self.savepoints = 0
        return was_open

    def finish(self, gid: str, *, commit: bool) -> None:
        """Second phase, from a session that has no transaction open."""
        verb = sql.SQL("COMMIT PREPARED {}") if commit else sql.SQL("ROLLBACK PREPARED {}")
        self.connection.execute(verb.format(sql.Literal(gid)))

    def _end(self, verb: LiteralString) -> None:
        if self.is_open:
            self.connection.execute(verb)
            self.savepoints = 0

    def _execute(self, statement: LiteralString, parameters: dict[str, Any]) -> bool:
        try:
            self.connection.execute(statement, parameters)
        except _EXPECTED:
            if self.savepoints:
                self.rollback_to()
            else:
                self.rollback()
            return False
        return True

    def _name(self) -> sql.Identifier:
        return sql.Identifier(f"s{self.savepoints}")
