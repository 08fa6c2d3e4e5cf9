"""Benchmarks: one package each, started by `make bench-<name>`; `benchmarks/out/` holds their JSON."""
