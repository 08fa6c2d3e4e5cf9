"""A hypothesis state machine: an application does anything to its rows while they are refreshed, verified, and crashed.

After every refresh that ran to its end the rollups must equal plain SQL over what was committed at that moment, whatever
is still open; `verify` must agree at every point; drift made by hand must be found and repaired.
"""

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, ClassVar, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from psycopg import sql

from dbconnect import SalespulseError
from pipelines.refresh import enqueue_range, refresh
from pipelines.refresh.connections import Connection, Connections
from pipelines.verification import VerificationReport, verify
from tests.expected_rollups import Rollup
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import OFTEN, SELDOM, World, seed, sell
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, clone, discard, install_truth, one

SMALL = st.integers(0, 11)
SESSION = st.integers(0, 2)
BATCH = st.sampled_from([1, 3, 1000])
STEP = st.integers(0, 40)
Writes: TypeAlias = list[tuple[str, int, int, int]]
TRUNCATES = sorted(name for name in SELDOM if name.startswith("truncate"))
# A name stands as often as the operation is likely. Few writes make few mistakes.
WRITES = st.lists(
    st.tuples(
        st.sampled_from(
            ["sell", "return_half"] * 10 + sorted(OFTEN) * 3 + ["seed"] * 3 + sorted(SELDOM.keys() - set(TRUNCATES))
        ),
        SMALL,
        SMALL,
        SMALL,
    ),
    min_size=3,
    max_size=12,
)
ACTIONS = ["begin", "begin", "savepoint", "savepoint", "rollback_to", "release", "commit", "commit", "rollback"]

DRIFTABLE = {
    "daily_store_sales": ("business_date", "gross_amount"),
    "hourly_store_sales": ("business_date", "refund_amount"),
    "daily_product_sales": ("business_date", "tax_amount"),
    "monthly_product_sales": ("business_month", "cost_amount"),
    "daily_customer_sales": ("business_date", "gross_amount"),
    "monthly_customer_sales": ("business_month", "units"),
    "daily_payment_sales": ("business_date", "payment_amount"),
    "fact_document": ("business_date", "gross_amount"),
    "fact_document_line": ("business_date", "units"),
    "fact_document_payment": ("business_date", "payment_amount"),
}


class CrashError(Exception):
    """Stands for whatever ends a refresh at some step."""


class WrongRowsError(AssertionError):
    """The rollups are not what plain SQL says."""


class SalesMachine(RuleBasedStateMachine):
    """Subclass with `pair` and `template` set."""

    pair: ClassVar[PostgresPair]
    template: ClassVar[Template]
    after_refresh: ClassVar[Callable[[Installation], None] | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.installation: Installation = clone(self.pair, self.template)
        install_truth(self.installation)
        self.world = World()
        self.sessions = [Session(self.installation) for _ in range(3)]
        self.connections: Connections = self.installation.connections()
        self.admins = (self.installation.admin(), self.installation.admin(server=self.pair.standby))
        self.is_paused = False
        self.prepared: list[str] = []
        self.committed: dict[str, Rollup] = {}
        self.as_of = datetime.fromtimestamp(0, UTC)

    @initialize(writes=WRITES)
    def start(self, writes: Writes) -> None:
        """Sales before the first refresh."""
        self.sessions[0].run(self.world, seed, 0, 0, 0)
        for number in range(4):
            self.sessions[0].run(self.world, sell, number, number, number)
        self.write(0, writes)

    # ------------------------------------------------------------------------------------------------ the application

    def write(self, session: int, writes: Writes) -> None:
        for name, a, b, c in writes:
            self.sessions[session].run(self.world, {**OFTEN, **SELDOM}[name], a, b, c)

    @rule(session=SESSION, writes=WRITES)
    def write_as_it_is(self, session: int, writes: Writes) -> None:
        self.write(session, writes)

    @rule(session=SESSION, writes=WRITES, action=st.sampled_from(ACTIONS))
    def write_in_transaction(self, session: int, writes: Writes, action: str) -> None:
        self.sessions[session].begin()
        self.write(session, writes)
        getattr(self.sessions[session], action)()

    @rule(session=SESSION, name=st.sampled_from(TRUNCATES), commits=st.booleans())
    def truncate(self, session: int, name: str, commits: bool) -> None:
        self.sessions[session].run(self.world, SELDOM[name], 0, 0, 0)
        # Held open, it would keep everyone from reading the table, on the standby too.
        self.transact(session, "commit" if commits else "rollback")

    @rule(session=SESSION, action=st.sampled_from(ACTIONS))
    def transact(self, session: int, action: str) -> None:
        getattr(self.sessions[session], action)()

    @rule(session=SESSION)
    def prepare(self, session: int) -> None:
        gid = f"{self.installation.database.name}-{self.world.new_key()}"
        if self.sessions[session].prepare(gid):
            self.prepared.append(gid)

    @precondition(lambda self: self.prepared)
    @rule(commits=st.booleans())
    def finish_prepared(self, commits: bool) -> None:
        free = next((session for session in self.sessions if not session.is_open), None)
        if free is not None:
            free.finish(self.prepared.pop(0), commit=commits)

    # --------------------------------------------------------------------------------------------------- the pipelines

    @rule(session=SESSION, writes=WRITES, batch=BATCH)
    def refresh_what_was_written(self, session: int, writes: Writes, batch: int) -> None:
        self.write(session, writes)
        self.refresh(batch)

    def refresh(self, batch: int) -> None:
        self.catch_up()
        result = refresh(self.connections, self.installation.options(batch_documents=batch, prune_every_s=0, keep_s=0))
        assert result.is_drained
        assert result.reconciled == ()
        self.assert_exact()

    @rule(step=STEP, session=SESSION, name=st.sampled_from(sorted(OFTEN)), a=SMALL, b=SMALL)
    def refresh_while_selling(self, step: int, session: int, name: str, a: int, b: int) -> None:
        """The application goes on at some step of the refresh; what it does then may be seen now or the next time."""
        self.catch_up()
        at = self._at(step, lambda: self.sessions[session].run(self.world, OFTEN[name], a, b, a + b))
        refresh(self.connections, self.installation.options(batch_documents=3), at=at)

    @rule(session=SESSION, writes=WRITES, step=STEP, batch=BATCH)
    def crash(self, session: int, writes: Writes, step: int, batch: int) -> None:
        def stop() -> None:
            raise CrashError

        self.write(session, writes)
        self.catch_up()
        with contextlib.suppress(CrashError):
            refresh(self.connections, self.installation.options(batch_documents=batch), at=self._at(step, stop))
            self.assert_exact()

    @rule(session=SESSION, writes=WRITES, step=STEP, kills_replica=st.booleans())
    def kill_backend(self, session: int, writes: Writes, step: int, kills_replica: bool) -> None:
        """The server ends a connection at some step, as it does when it is shut down."""
        self.write(session, writes)
        self.catch_up()
        victim: Connection = self.connections.replica if kills_replica else self.connections.warehouse
        pid = victim.info.backend_pid

        def kill() -> None:
            one(self.admins[1 if kills_replica else 0], "SELECT pg_terminate_backend(%s, 5000)", pid)

        with contextlib.suppress(SalespulseError):
            refresh(self.connections, self.installation.options(batch_documents=3), at=self._at(step, kill))
        self.connections = self.installation.connections()

    @rule(first=st.integers(1, 31), days=st.integers(0, 60))
    def backfill(self, first: int, days: int) -> None:
        enqueue_range(
            self.connections,
            self.installation.mapping,
            from_date=date(2025, 3, first),
            to_date=date.fromordinal(date(2025, 3, first).toordinal() + days),
            reason="backfill",
        )

    @rule(session=SESSION, writes=WRITES)
    def verify(self, session: int, writes: Writes) -> None:
        self.write(session, writes)
        self.catch_up()
        self.assert_verified()
        self.assert_exact()

    @rule(table=st.sampled_from(sorted(DRIFTABLE)), row=SMALL, deletes=st.booleans())
    def drift(self, table: str, row: int, deletes: bool) -> None:
        """A cent too much, or a row gone: found with its name, repaired, exact again."""
        self.refresh(1000)
        day = self._spoil_row(table, row, deletes=deletes)
        if day is None:
            return
        assert self.installation.rollup_errors(self.committed) or table.startswith("fact_")
        report = self._verify()
        assert not report.is_exact
        if not table.startswith("fact_"):
            assert {drifted.rollup for drifted in report.drifted_rows} == {table}
            assert [drifted.grain[DRIFTABLE[table][0]] for drifted in report.drifted_rows] == [day]
        assert not self._verify(repair=True).is_exact
        if table.startswith("fact_"):
            self.assert_verified()
        self.assert_exact()

    @rule()
    def pause_or_resume(self) -> None:
        if self.is_paused:
            self.pair.standby.resume_replay()
        else:
            self.catch_up()
            self.pair.standby.pause_replay()
        self.is_paused = not self.is_paused

    # ------------------------------------------------------------------------------------------------------ the checks

    @invariant()
    def history_is_unbroken(self) -> None:
        """`as_of` never falls, and nothing that happens here is a break in the source's history."""
        assert one(self.admins[0], "SELECT count(*) FROM salespulse.continuity_event") == 0
        as_of = one(self.admins[0], "SELECT coalesce(max(as_of), 'epoch') FROM salespulse.refresh_state")
        assert as_of >= self.as_of
        self.as_of = as_of

    def catch_up(self) -> None:
        """Let the standby show what is committed now (a paused one shows what it did), and remember what that is."""
        if not self.is_paused:
            self.installation.wait_for_replay()
            self.committed = self.installation.truth()

    def assert_exact(self) -> None:
        wrong = self.installation.rollup_errors(self.committed)
        if wrong:
            raise WrongRowsError(wrong)
        if self.after_refresh is not None:
            type(self).after_refresh(self.installation)

    def assert_verified(self) -> None:
        report = self._verify()
        assert report.is_exact, report.as_document()

    def teardown(self) -> None:
        """Quiescence: everything ends, and must be exact."""
        try:
            self._resume()
            for session in self.sessions:
                session.commit()
            while self.prepared:
                self.sessions[0].finish(self.prepared.pop(), commit=True)
            self.refresh(1000)
            self.assert_verified()
        finally:
            self._resume()
            for session in self.sessions:
                session.rollback()
            while self.prepared:
                self.sessions[0].finish(self.prepared.pop(), commit=False)
            discard(self.installation)

    def _resume(self) -> None:
        if self.is_paused:
            self.pair.standby.resume_replay()
            self.is_paused = False

    def _verify(self, *, repair: bool = False) -> VerificationReport:
        return verify(self.connections, self.installation.options(batch_documents=3), repair=repair)

    def _at(self, step: int, act: Callable[[], Any]) -> Callable[[str], None]:
        steps = 0

        def at(name: str) -> None:
            nonlocal steps
            if steps == step:
                act()
            steps += 1

        return at

    def _spoil_row(self, table: str, row: int, *, deletes: bool) -> date | None:
        """Change one row by hand; give its date, None where the table is empty."""
        day, measure = DRIFTABLE[table]
        names = {
            "table": sql.Identifier("salespulse", table),
            "day": sql.Identifier(day),
            "measure": sql.Identifier(measure),
        }
        count = one(self.admins[0], f"SELECT count(*) FROM salespulse.{table}")
        if not count:
            return None
        row_address = sql.SQL("(SELECT d.ctid FROM {table} AS d ORDER BY d::text LIMIT 1 OFFSET %s)").format(**names)
        change = "DELETE FROM {table}" if deletes else "UPDATE {table} SET {measure} = {measure} + 0.01"
        cursor = self.admins[0].execute(
            sql.SQL(change + " WHERE ctid = {row_address} RETURNING {day}").format(row_address=row_address, **names),
            [row % count],
        )
        return cursor.fetchall()[0][0]
