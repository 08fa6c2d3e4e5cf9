"""Which errors of a read-only transaction are worth one more try."""

import psycopg
from psycopg_pool import PoolTimeout

# serialization failure (also: cancelled by recovery on a replica), deadlock, the server shuts down, crashed, starts up,
# too many connections. Not 57014: that is the statement's own timeout, and trying again would double the load.
_WORTH_IT = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300"})


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the same read may succeed at once, on another connection or server.

    A connection that broke has no SQLSTATE, or one of class 08; waiting in vain for a free connection is not a fault.
    """
    if not isinstance(error, psycopg.OperationalError | psycopg.InternalError) or isinstance(error, PoolTimeout):
        return False
    state = error.sqlstate
    return state is None or state in _WORTH_IT or state.startswith("08")
