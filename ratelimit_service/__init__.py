"""A rate limiter to import, its middleware, and the job-status store. Imports nothing of the pipelines."""
