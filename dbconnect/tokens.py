"""Read-your-writes tokens: where in the log a commit lies, as opaque text.

A writer asks for one after its commit, hands it to the client, and the client sends it with its next read; that read is
then answered by a server that has the commit. The text is not signed: a forged one can only make its own read wait.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dbconnect.errors import TokenError
from dbconnect.positions import parse_lsn
from dbsql import query

_FORM = struct.Struct(">BIQ")
_VERSION = 1


@dataclass(frozen=True)
class ReadToken:
    """A position that a read must not be older than.

    Attributes:
        timeline: of the primary at that moment; positions of another timeline can't be compared.
        position: bytes of log, flushed by the commit.
    """

    timeline: int
    position: int

    def encode(self) -> str:
        """Give it as 18 characters, safe in URLs and headers."""
        return base64.urlsafe_b64encode(_FORM.pack(_VERSION, self.timeline, self.position)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "ReadToken":
        """Read what `encode` gave.

        Raises:
            TokenError: it is no such text.
        """
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, timeline, position = _FORM.unpack(packed)
        except (binascii.Error, struct.error, ValueError):
            raise TokenError(f"{text[:40]!r} is not a read token: send back what the write gave, unchanged") from None
        if version != _VERSION:
            raise TokenError(f"the read token is of version {version}; this program knows version {_VERSION}")
        return cls(timeline, position)


def commit_token(connection: psycopg.Connection[Any]) -> str:
    """Give the token of everything that is committed on this connection's server by now; call it after the commit.

    Args:
        connection: to the primary, outside a transaction, in autocommit mode.

    Raises:
        psycopg.Error: the server went away, or is a replica (`ObjectNotInPrerequisiteState`).
    """
    row = connection.cursor(row_factory=dict_row).execute(query("dbconnect.committed_position")).fetchone()
    return _token(row)


async def commit_token_async(connection: psycopg.AsyncConnection[Any]) -> str:
    """As `commit_token`, on an async connection."""
    cursor = connection.cursor(row_factory=dict_row)
    return _token(await (await cursor.execute(query("dbconnect.committed_position"))).fetchone())


def _token(row: dict[str, Any] | None) -> str:
    if row is None:
        message = "a SELECT without FROM gives one row"
        raise AssertionError(message)
    return ReadToken(int(row["timeline_hex"], 16), parse_lsn(row["lsn"])).encode()
