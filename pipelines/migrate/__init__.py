"""Forward migrations: checksummed, one transaction each, under a lock. No Dagster."""

from pipelines.migrate.errors import MigrationError
from pipelines.migrate.runner import MIGRATION_SETS, applied_migrations, migrate, migrate_all, pending_migrations

__all__ = [
    "MIGRATION_SETS",
    "MigrationError",
    "applied_migrations",
    "migrate",
    "migrate_all",
    "pending_migrations",
]
