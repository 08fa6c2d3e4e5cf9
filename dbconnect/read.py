"""One read: what the caller gets, and the statements that begin it, shared by both routers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, NamedTuple, TypeVar

from dbconnect.positions import parse_lsn
from dbconnect.read_plan import Found
from dbconnect.routes import AsyncConnection, Connection, Row
from dbconnect.server_record import Glimpse
from dbsql import query

ConnectionT = TypeVar("ConnectionT", Connection, AsyncConnection)

# A dashboard's statements see one state: REPEATABLE READ. Nothing here outlives the transaction, so a pooler may hand
# the session on after it.
BEGIN: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The same session of a pooler, a new snapshot.
CHAIN: LiteralString = "COMMIT AND CHAIN"
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
        staleness_s: everything committed this many seconds before the read began is in it; None when nothing tells.
        is_stale: whether that is more than was asked for.
        is_fallback: whether the primary answers, within its budget.
    """

    connection: ConnectionT
    server: str
    staleness_s: float | None
    is_stale: bool
    is_fallback: bool

    @classmethod
    def of(cls, connection: ConnectionT, found: Found) -> "Read[ConnectionT]":
        """Join a connection with what the plan found."""
        return cls(connection, found.server.name, found.staleness_s, found.is_stale, found.is_fallback)


@dataclass(frozen=True)
class Scope:
    """What a read is bound to, until its transaction ends.

    Attributes:
        statement_timeout_s: of each statement.
        tenant_key: whose rows row-level security shows; None shows none.
    """

    statement_timeout_s: float
    tenant_key: int | None

    def parameters(self) -> dict[str, str]:
        """The parameters of the entering statement."""
        return {
            "statement_timeout_ms": str(max(1, round(self.statement_timeout_s * 1000))),
            "tenant_key": "" if self.tenant_key is None else str(self.tenant_key),
        }


def entering(scope: Scope, *, has_heartbeat: bool) -> Statement:
    """Give the first statement of a read."""
    name = "dbconnect.enter_read" if has_heartbeat else "dbconnect.enter_read_without_heartbeat"
    return Statement(query(name), scope.parameters())


def glimpse(at: float, entered: Row | None, position: Row | None) -> Glimpse:
    """Make of the rows what the plan judges."""
    if entered is None:
        message = "a SELECT without FROM gives one row"
        raise AssertionError(message)
    lsn: Any = None if position is None else position["lsn"]
    return Glimpse(
        at=at,
        is_in_recovery=entered["is_in_recovery"],
        beat_at=entered["beat_at"],
        clock_at=entered["clock_at"],
        position=None if lsn is None else parse_lsn(lsn),
    )
