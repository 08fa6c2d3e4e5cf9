"""Every SQL statement of the project, by name.

`queries/` holds statements, each under a line `-- name: <name>` and a comment that says what it is for; `rollups/` one
`SELECT` a file; `migrations/` how a database gets to its tables; `functions/` the functions that the dashboard reads,
created after the migrations and again when their text changes; `schema.sql` the schema that both give. Python reads
statements from here and binds parameters; it never glues SQL from strings (identifiers go through `psycopg.sql`).
"""

from datetime import date

from dbsql.loader import SqlFileError, load_statements, query, sql_root

# The business dates that facts may have (`resolve_documents` in queries/apply.sql); Python's and PostgreSQL's calendars agree there.
FIRST_DATE = date(1900, 1, 1)
LAST_DATE = date(2199, 12, 31)

__all__ = ["FIRST_DATE", "LAST_DATE", "SqlFileError", "load_statements", "query", "sql_root"]
