"""What a thousand users of the dashboards cost and see: `make bench-api`."""
