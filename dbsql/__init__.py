"""Every SQL statement of the project, by name.

A file under `queries/` holds statements, each under a line `-- name: <name>` and a comment that says what it is for.
`rollups/` holds one `SELECT` a file. Python reads them from here and binds parameters; it never glues SQL from strings
(identifiers go through `psycopg.sql`).
"""

from dbsql.loader import SqlFileError, load_statements, query, sql_root

__all__ = ["SqlFileError", "load_statements", "query", "sql_root"]
