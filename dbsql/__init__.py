"""Every SQL statement of the project, by name.

`queries/` holds statements, each under a line `-- name: <name>` and a comment that says what it is for; `rollups/` one
`SELECT` a file; `functions/` the present text of the database's functions; `migrations/` how a database gets there, and
`schema.sql` the schema that they give. Python reads statements from here and binds parameters; it never glues SQL from
strings (identifiers go through `psycopg.sql`).
"""

from dbsql.loader import SqlFileError, load_statements, query, sql_root

__all__ = ["SqlFileError", "load_statements", "query", "sql_root"]
