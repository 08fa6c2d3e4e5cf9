"""Install, uninstall and check the mapping of an application's schema. No Dagster."""
