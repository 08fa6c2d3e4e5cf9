"""A server that runs out of space in the middle of a refresh. The error is the server's own, raised where it would be."""

from collections.abc import Callable

import pytest

from dbconnect import SalespulseError
from pipelines.refresh import Connections, RefreshResult, read_state, refresh
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, seed, sell
from tests.warehouse import Installation

_FILL = """
CREATE FUNCTION public.no_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device';
END
$$;
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION public.no_space();
"""


@pytest.mark.parametrize(
    "table", ["salespulse.daily_store_sales", "salespulse.fact_document", "salespulse.refresh_state"]
)
def test_a_full_disk_is_named_leaves_nothing_half_done_and_ends(
    installation: Installation, connections: Connections, refreshed: Callable[..., RefreshResult], table: str
) -> None:
    world, session, admin = World(), Session(installation), installation.admin()
    session.run(world, seed, 0, 0, 0)
    session.run(world, sell, 1, 2, 3)
    refreshed()
    before, state = installation.truth(), read_state(connections.warehouse)
    admin.execute(_FILL.format(table=table).encode())
    session.run(world, sell, 2, 3, 4)
    installation.wait_for_replay()
    with pytest.raises(SalespulseError, match=r"No space left on device.*free space on that server"):
        refresh(connections, installation.options())
    assert installation.rollup_errors(before) == {}
    assert read_state(connections.warehouse) == state
    admin.execute(f"DROP TRIGGER no_space ON {table}".encode())
    assert refreshed().applied.documents == 1
    assert installation.rollup_errors() == {}
