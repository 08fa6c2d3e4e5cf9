"""Measure background jobs: submits, coalescing, streams, real runs: `make bench-jobs`."""
