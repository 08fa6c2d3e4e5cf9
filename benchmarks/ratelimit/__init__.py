"""Benchmarks of the rate limiter: beside a bare script call and beside other libraries, on one Redis."""
