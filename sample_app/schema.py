"""Create the application's schema, for the demonstration and the tests."""

from typing import Any

from psycopg import Connection

from dbsql import query, sql_root
from sample_app.errors import SchemaError

TABLES = frozenset(
    [
        "tenants",
        "stores",
        "product_groups",
        "products",
        "customers",
        "sales",
        "sale_items",
        "sales_returns",
        "sales_return_items",
        "payments",
    ]
)


def install_application(connection: Connection[Any]) -> bool:
    """Create the application's tables when they are absent; idempotent.

    One transaction (a nested one when the caller has one open). The role needs CREATE on the database, or, when the
    tables are there already, to own them.

    Returns:
        Whether the tables were created by this call.

    Raises:
        SchemaError: some of the tables exist and others don't, so that this is not the bundled application.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(query("retail_application.take_lock"))
        present = {name for (name,) in cursor.execute(query("retail_application.tables"))} & TABLES
        if present and present != TABLES:
            missing = ", ".join(sorted(TABLES - present))
            raise SchemaError(
                f"schema retail exists without the tables {missing}. "
                "Drop the schema to have it created again, or point SALESPULSE_APPLICATION_URL at another database."
            )
        if not present:
            path = sql_root() / "source" / "retail" / "application.sql"
            cursor.execute(path.read_bytes())
    return not present
