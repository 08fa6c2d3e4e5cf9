"""What background jobs are held to: quick submits, one job for many triggers, a status that is neither late, wrong nor stuck."""
