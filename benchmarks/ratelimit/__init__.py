"""Compare the rate limiter with a bare script call and with other libraries, on one Redis."""
