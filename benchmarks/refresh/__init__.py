"""What a refresh costs, beside the naive ways: `make bench-refresh`."""
