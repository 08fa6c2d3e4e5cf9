"""Compare the refresh with materialized views: `make bench-refresh`."""
