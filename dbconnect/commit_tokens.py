"""Read-your-writes tokens: a commit's position in the log, as opaque text.

A writer takes one after its commit and hands it to the client; a read with it is answered by a server that has the
commit. Tokens are not signed: a forged one can only make its own read wait.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dbconnect.errors import TokenError
from dbconnect.lsn import parse_lsn
from dbsql import query

_FORMAT = struct.Struct(">BIQ")
_VERSION = 1


@dataclass(frozen=True)
class CommitToken:
    """A log position that a read must include.

    Attributes:
        timeline: of the primary at that moment; positions of another timeline can't be compared.
        position: bytes of log, flushed by the commit.
    """

    timeline: int
    position: int

    def encode(self) -> str:
        """Return 18 characters, safe in URLs and headers."""
        return base64.urlsafe_b64encode(_FORMAT.pack(_VERSION, self.timeline, self.position)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "CommitToken":
        """Parse the result of `encode`.

        Raises:
            TokenError: the text is malformed or of another version.
        """
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, timeline, position = _FORMAT.unpack(packed)
        except (binascii.Error, struct.error, ValueError):
            raise TokenError(
                f"{text[:40]!r} is a malformed read token: send the token of the write unchanged"
            ) from None
        if version != _VERSION:
            raise TokenError(f"the read token is of version {version}; this program knows version {_VERSION}")
        return cls(timeline, position)


def commit_token(connection: psycopg.Connection[Any]) -> str:
    """Return a token for everything committed so far on the connection's server; call it after the commit.

    Args:
        connection: to the primary, outside a transaction, in autocommit mode.

    Raises:
        psycopg.Error: the server went away, or is a replica (`ObjectNotInPrerequisiteState`).
    """
    row = connection.cursor(row_factory=dict_row).execute(query("dbconnect.committed_position")).fetchone()
    if row is None:
        message = "a SELECT without FROM returns one row"
        raise AssertionError(message)
    return CommitToken(int(row["timeline_hex"], 16), parse_lsn(row["lsn"])).encode()
