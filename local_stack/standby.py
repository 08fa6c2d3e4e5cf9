"""The stack's standby: made with its primary, and made anew when it can't follow any more."""

import shutil
from collections.abc import Callable
from dataclasses import replace

import psycopg

from local_stack.postgres_cluster import STANDBY_SLOT, Cluster
from local_stack.supervisor import Supervisor

Say = Callable[[str], None]


def make_clusters(primary: Cluster, standby: Cluster, *, say: Say) -> None:
    """Make the data directories that are missing, and write both servers' settings.

    A standby beside a primary that has run before is left to `repair_standby`, which needs the primary running.
    """
    if not primary.exists:
        say("initialising PostgreSQL")
        shutil.rmtree(standby.directory, ignore_errors=True)
        primary.create_primary()
        standby.copy_standby(primary)
    primary.configure()
    if standby.exists:
        standby.configure(primary=primary, slot=STANDBY_SLOT)


def repair_standby(primary: Cluster, standby: Cluster, supervisor: Supervisor, *, say: Say) -> None:
    """Clone the standby anew from the running primary when it is missing, was promoted, or fell behind its slot.

    A promoted standby's data are set aside, not deleted: somebody may have written to it.
    """
    with psycopg.connect(primary.url(), autocommit=True) as connection:
        slot = connection.execute(
            "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (STANDBY_SLOT,)
        ).fetchone()
        is_lost = slot is None or slot[0] == "lost"
        if standby.exists and standby.is_standby and not is_lost:
            return
        supervisor.stop_program("postgres_standby")
        if standby.exists and not standby.is_standby:
            aside = _unused_name(standby)
            standby.directory.rename(aside.directory)
            say(f"the standby had been promoted; its data are set aside in {aside.directory}")
        else:
            shutil.rmtree(standby.directory, ignore_errors=True)
        if slot is not None:
            connection.execute("SELECT pg_drop_replication_slot(%s)", (STANDBY_SLOT,))
        connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (STANDBY_SLOT,))
    say("cloning the standby from the primary")
    standby.create_standby(primary, slot=STANDBY_SLOT)
    standby.configure(primary=primary, slot=STANDBY_SLOT)


def _unused_name(standby: Cluster) -> Cluster:
    number = 1
    while (candidate := standby.directory.with_name(f"{standby.directory.name}.promoted-{number}")).exists():
        number += 1
    return replace(standby, directory=candidate)
