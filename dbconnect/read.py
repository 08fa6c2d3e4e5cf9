"""One read: the caller's handle, and the statements that open and end its transaction. No I/O; both routers use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, NamedTuple, TypeVar

from dbconnect.lsn import parse_lsn
from dbconnect.read_plan import ChosenServer
from dbconnect.routes import AsyncConnection, Connection, Row
from dbconnect.server_health import ReadProbe
from dbsql import query

ConnectionT = TypeVar("ConnectionT", Connection, AsyncConnection)

# A dashboard's statements see one state: REPEATABLE READ. Nothing here outlives the transaction, so a pooler may hand
# the session on after it.
BEGIN: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The same session of a pooler, a new snapshot.
_CHAIN: LiteralString = "COMMIT AND CHAIN"
COMMIT: LiteralString = "COMMIT"


class Statement(NamedTuple):
    """A statement of `dbsql` and its parameters by name."""

    text: LiteralString
    parameters: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Read(Generic[ConnectionT]):
    """A read-only transaction on a server that is fresh enough, or says that it is not.

    Attributes:
        connection: inside BEGIN READ ONLY; rows are dictionaries. Use it within the `with` block only.
        server: the name of the server: `replica`, `primary`, or a name of `dashboard_replicas`.
        staleness_s: everything committed this many seconds before the read began is in it; None when unknown.
        is_stale: whether that exceeds the requested bound.
        is_fallback: whether the primary answers, within its budget.
    """

    connection: ConnectionT
    server: str
    staleness_s: float | None
    is_stale: bool
    is_fallback: bool

    @classmethod
    def on(cls, connection: ConnectionT, choice: ChosenServer) -> "Read[ConnectionT]":
        """Return the read on a connection to the chosen server."""
        return cls(connection, choice.server.name, choice.staleness_s, choice.is_stale, choice.is_fallback)


@dataclass(frozen=True)
class ReadScope:
    """The limits of a read's transaction, and what is sent along.

    Attributes:
        statement_timeout_s: of each statement.
        tenant_key: whose rows row-level security shows; None shows none.
        statements: run in the same message that opens the transaction, which then ends.
    """

    statement_timeout_s: float
    tenant_key: int | None
    statements: Sequence[Statement] = ()


def opening_script(scope: ReadScope, *, wants_position: bool, has_heartbeat: bool) -> list[Statement]:
    """Return the statements that open a read's transaction, and the scope's own with the end of it."""
    name = "dbconnect.enter_read" if has_heartbeat else "dbconnect.enter_read_without_heartbeat"
    parameters = {
        "statement_timeout_ms": str(max(1, round(scope.statement_timeout_s * 1000))),
        "tenant_key": "" if scope.tenant_key is None else str(scope.tenant_key),
    }
    position = [Statement(query("dbconnect.position")), Statement(_CHAIN)] if wants_position else []
    own = [*scope.statements, Statement(COMMIT)] if scope.statements else []
    return [Statement(BEGIN), *position, Statement(query(name), parameters), *own]


def parse_opening(
    at: float, results: Sequence[list[Row]], *, wants_position: bool
) -> tuple[ReadProbe, list[list[Row]]]:
    """Split the results of an opening script into the probe and the rows of the scope's statements.

    Args:
        at: monotonic seconds, before the script was sent.
        results: rows of each statement of the script.
        wants_position: as in `opening_script`.
    """
    opening = 3 if wants_position else 1
    row = results[opening][0]
    lsn: Any = results[1][0]["lsn"] if wants_position else None
    probe = ReadProbe(
        at=at,
        is_in_recovery=row["is_in_recovery"],
        heartbeat_at=row["beat_at"],
        clock_at=row["clock_at"],
        position=None if lsn is None else parse_lsn(lsn),
    )
    return probe, list(results[opening + 1 : -1])
