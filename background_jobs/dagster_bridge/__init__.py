"""The bridge between the job store and Dagster: `salespulse bridge`.

Plain functions and classes that take one step each, with the clock as a parameter; `service` alone runs them, in threads.
"""
