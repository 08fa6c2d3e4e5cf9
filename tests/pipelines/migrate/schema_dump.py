"""What `dbsql/schema.sql` holds: the two schemas as `pg_dump` writes them after every migration, without what varies.

`tools/dump-schema` writes the file; a test compares it with the migrations.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from dbsql import sql_root
from pipelines.migrate import MIGRATION_SETS, migrate
from tests.servers.postgres import PostgresPair, PostgresServer

FILE = sql_root() / "schema.sql"
_HEADING = "-- The schema that the migrations give, for reading. Written by tools/dump-schema: change the migrations, not this.\n\n"
# The token of \restrict differs in every dump; comments name versions; settings are those of the dumping session.
_VARYING = re.compile(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)\n", re.MULTILINE)


def dump_schema(server: PostgresServer, database: str) -> str:
    """The normalised dump of one database."""
    command = [
        str(server.cluster.binaries.program("pg_dump")),
        "--schema-only",
        "--no-owner",
        "--schema=salespulse",
        "--schema=salespulse_source",
        server.url(database),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text = _VARYING.sub("", done.stdout)
    return _HEADING + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def migrated_schema(pair: PostgresPair, database: str) -> str:
    """Migrate an empty database and dump it."""
    with pair.primary.connect(database) as connection:
        for migration_set in MIGRATION_SETS:
            migrate(connection, migration_set)
    return dump_schema(pair.primary, database)


def main() -> None:
    """Write `dbsql/schema.sql` from a server of its own."""
    with tempfile.TemporaryDirectory(prefix="salespulse-schema-") as name:
        Path(name).chmod(0o755)
        pair = PostgresPair.create(Path(name))
        try:
            FILE.write_text(migrated_schema(pair, "postgres"), encoding="utf-8")
        finally:
            pair.stop()
    sys.stdout.write(f"wrote {FILE}\n")


if __name__ == "__main__":
    main()
