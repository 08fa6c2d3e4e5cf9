"""The change log is pruned by what the warehouse had applied the keep time ago: a backup that is no older loses nothing."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from pipelines.migrate import migrate
from pipelines.refresh import Connections, RefreshResult, connect_route, read_state, refresh
from pipelines.verification import verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, seed, sell
from tests.servers import fresh_database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Plain, one

KEEP_S = 3600.0
STEPS = ("sell", "sell", "hold", "hold", "end", "pass", "pass", "refresh", "back up", "restore", "restore")


@dataclass
class Warehouse:
    """A warehouse in a database of its own, which can be backed up and restored; its hours pass when a test says so."""

    installation: Installation
    name: str
    backups: list[str] = field(default_factory=list)
    backup_ages: list[float] = field(default_factory=list)
    clock: float = 0.0
    started_at: dict[Session, float] = field(default_factory=dict)

    @property
    def pair(self) -> PostgresPair:
        return self.installation.pair

    def refresh(self, **changes: float) -> RefreshResult:
        """Let the standby catch up, refresh (which prunes), and check what holds after each refresh."""
        self.installation.wait_for_replay()
        options = self.installation.options(**{"keep_s": KEEP_S, "prune_every_s": 0, **changes})
        connections = self._connections()
        before = read_state(connections.warehouse)
        result = refresh(connections, options)
        after = read_state(connections.warehouse)
        assert after is not None
        assert before is None or after.as_of >= before.as_of
        connections.warehouse.close()
        with self.pair.primary.connect(self.name) as warehouse:
            assert self.installation.rollup_errors(warehouse=warehouse) == {}
        return result

    def verify(self) -> bool:
        connections = self._connections()
        report = verify(connections, self.installation.options())
        connections.warehouse.close()
        return report.is_exact

    def hold(self, session: Session) -> None:
        """Begin a transaction and write down when."""
        session.begin()
        self.started_at.setdefault(session, self.clock)

    def commit(self, session: Session, admin: Plain) -> None:
        """Commit; what the transaction logged is as old as its start."""
        if session.is_open:
            xid = one(session.connection, "SELECT pg_current_xact_id()::text")
            session.commit()
            age = self.clock - self.started_at.pop(session)
            admin.execute(
                "UPDATE salespulse_source.change_log SET logged_at = logged_at - make_interval(secs => %s) "
                "WHERE xid = %s::xid8",
                [age, xid],
            )

    def pass_time(self, admin: Plain, seconds: float) -> None:
        """Make everything that has a time older."""
        self.clock += seconds
        admin.execute(
            "UPDATE salespulse_source.change_log SET logged_at = logged_at - make_interval(secs => %s)", [seconds]
        )
        for name in (self.name, *self.backups):
            with self.pair.primary.connect(name) as warehouse:
                warehouse.execute(
                    "UPDATE salespulse.horizon_history SET noted_at = noted_at - make_interval(secs => %s)", [seconds]
                )
        self.backup_ages = [age + seconds for age in self.backup_ages]

    def back_up(self) -> None:
        self.backups.append(fresh_database(self.pair, template=self.name))
        self.backup_ages.append(0.0)

    def restore(self, number: int) -> float:
        """Put a backup in the warehouse's place; return its age in seconds."""
        self.pair.drop_database(self.name)
        self.name = fresh_database(self.pair, template=self.backups[number])
        return self.backup_ages[number]

    def _connections(self) -> Connections:
        opened = self.installation.connections()
        password = self.installation.passwords["salespulse_pipeline"]
        url = self.pair.primary.url(self.name, user="salespulse_pipeline", password=password)
        return replace(opened, warehouse=connect_route(url, "warehouse"))


@pytest.fixture
def warehouse(installation: Installation) -> Iterator[Warehouse]:
    name = fresh_database(installation.pair)
    with installation.pair.primary.connect(name) as connection:
        migrate(connection, "warehouse")
    warehouse = Warehouse(installation, name)
    yield warehouse
    installation.close()
    for database in (warehouse.name, *warehouse.backups):
        installation.pair.drop_database(database)


def _is_marked(admin: Plain) -> bool:
    return bool(one(admin, "SELECT pruned_through > '0' FROM salespulse_source.change_log_pruning"))


@pytest.mark.parametrize("number", range(2))
def test_no_history_of_holding_backing_up_and_restoring_loses_a_sale(
    installation: Installation, warehouse: Warehouse, number: int
) -> None:
    """Random histories: transactions held open for hours, commits, refreshes that prune, backups, restores."""
    choices, world, admin = random.Random(number), World(), installation.admin()
    sessions = [Session(installation) for _ in range(3)]
    sessions[0].run(world, seed, 0, 0, 0)
    warehouse.refresh()
    for _ in range(30):
        step, session = choices.choice(STEPS), choices.choice(sessions)
        if step == "sell":
            for _ in range(3):
                session.run(world, sell, *(choices.randrange(12) for _ in range(3)))
        elif step == "hold":
            warehouse.hold(session)
            session.run(world, sell, *(choices.randrange(12) for _ in range(3)))
        elif step == "end":
            warehouse.commit(session, admin)
        elif step == "pass":
            warehouse.pass_time(admin, choices.choice([600.0, KEEP_S + 1]))
        elif step == "back up":
            warehouse.refresh()
            warehouse.back_up()
        elif step == "restore" and warehouse.backups:
            # What ends only now is applied, and its rows may be pruned, before the older warehouse comes back.
            warehouse.commit(session, admin)
            warehouse.refresh()
            age = warehouse.restore(-1)
            reconciled = warehouse.refresh().reconciled
            assert age > KEEP_S or not any("pruned through" in reason for reason in reconciled)
        elif step == "refresh":
            assert warehouse.refresh().reconciled == ()
    for session in sessions:
        warehouse.commit(session, admin)
    warehouse.refresh()
    assert warehouse.verify()


def test_a_sale_of_a_long_transaction_is_there_after_the_warehouse_is_restored(
    installation: Installation, warehouse: Warehouse
) -> None:
    world, admin = World(), installation.admin()
    slow, fast = Session(installation), Session(installation)
    fast.run(world, seed, 0, 0, 0)
    warehouse.refresh()
    warehouse.hold(slow)
    slow.run(world, sell, 1, 1, 1)
    warehouse.pass_time(admin, KEEP_S + 1)
    for number in range(20):
        fast.run(world, sell, number, 1, 2)
    warehouse.refresh()
    warehouse.back_up()
    warehouse.commit(slow, admin)
    assert warehouse.refresh().applied.documents == 1
    warehouse.restore(0)
    result = warehouse.refresh()
    assert result.reconciled == ()
    assert result.applied.documents == 1


def test_a_warehouse_older_than_the_log_compares_everything(installation: Installation, warehouse: Warehouse) -> None:
    """Whatever else shows it: the mark says that rows it needed may be gone."""
    world, admin, session = World(), installation.admin(), Session(installation)
    session.run(world, seed, 0, 0, 0)
    for number in range(20):
        session.run(world, sell, number, 1, 2)
    warehouse.refresh()
    warehouse.back_up()
    session.run(world, sell, 1, 1, 1)
    warehouse.refresh()
    warehouse.pass_time(admin, KEEP_S + 1)
    assert warehouse.refresh().pruned > 0
    assert _is_marked(admin)
    warehouse.restore(0)
    assert any("pruned through" in reason for reason in warehouse.refresh().reconciled)
    assert warehouse.refresh().reconciled == ()


def test_a_mark_that_a_dump_brought_from_another_cluster_means_nothing(
    installation: Installation, warehouse: Warehouse
) -> None:
    session, admin = Session(installation), installation.admin()
    session.run(World(), seed, 0, 0, 0)
    warehouse.refresh()
    admin.execute(
        "UPDATE salespulse_source.change_log_pruning SET pruned_through = '9000000000', system_identifier = 'another'"
    )
    assert warehouse.refresh().reconciled == ()
    session.run(World(), sell, 1, 1, 1)
    assert warehouse.refresh(keep_s=0).pruned > 0
    mark = "SELECT pruned_through < '9000000000' FROM salespulse_source.change_log_pruning"
    assert one(admin, mark), "this cluster's own mark takes its place"
    assert warehouse.refresh().reconciled == ()
