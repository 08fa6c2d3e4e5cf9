"""Databases and login roles of the stack's own servers.

Migrations create the group roles without a login, which elsewhere is the administrator's business. Here they log in
with generated passwords, passed as SCRAM verifiers so that none gets into a server's log.
"""

from typing import Any

import psycopg
from psycopg import sql

from local_stack.credentials import APPLICATION_ROLE, DAGSTER_ROLE, LOGIN_ROLES, Credentials

APPLICATION_DATABASE = "salespulse"
DAGSTER_DATABASE = "dagster"

_OWNERS = {APPLICATION_DATABASE: APPLICATION_ROLE, DAGSTER_DATABASE: DAGSTER_ROLE}

# Role settings also hold through PgBouncer in transaction mode, where what a client sets does not.
_LIMITS: dict[str, dict[str, str]] = {
    "salespulse_dashboard": {
        "default_transaction_read_only": "on",
        "statement_timeout": "2s",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "5s",
    },
    "salespulse_reader": {
        "default_transaction_read_only": "on",
        "idle_in_transaction_session_timeout": "15min",
    },
    "salespulse_pipeline": {"idle_in_transaction_session_timeout": "15min"},
    "salespulse_dagster": {"idle_in_transaction_session_timeout": "5min"},
}


def create_databases(admin_url: str, credentials: Credentials) -> None:
    """Create the login roles, and the databases of the application and of Dagster, unless they exist.

    Args:
        admin_url: of the primary, as a superuser, not through PgBouncer.
        credentials: the roles' passwords.

    Raises:
        psycopg.Error: the server refused.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        _create_roles(connection, credentials)
        present = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for database, owner in _OWNERS.items():
            name = sql.Identifier(database)
            if database not in present:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(owner)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for role in set(LOGIN_ROLES) - {DAGSTER_ROLE}:
            grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
            connection.execute(grant.format(sql.Identifier(APPLICATION_DATABASE), sql.Identifier(role)))


def _create_roles(connection: psycopg.Connection[Any], credentials: Credentials) -> None:
    stored = dict(connection.execute("SELECT rolname, rolpassword FROM pg_authid").fetchall())
    for role in LOGIN_ROLES:
        verifier = credentials.verifier(role)
        if role not in stored:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        if stored.get(role) != verifier:
            login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(login.format(sql.Identifier(role), sql.Literal(verifier)))
        for setting, value in _LIMITS.get(role, {}).items():
            limit = sql.SQL("ALTER ROLE {} SET {} = {}")
            connection.execute(limit.format(sql.Identifier(role), sql.Identifier(setting), sql.Literal(value)))
