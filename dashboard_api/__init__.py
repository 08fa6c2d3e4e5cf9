"""The HTTP face: dashboard endpoints and page, job endpoints, metrics."""
