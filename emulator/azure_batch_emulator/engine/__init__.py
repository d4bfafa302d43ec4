"""The Batch service itself: pools, nodes, jobs and tasks with their state machines, driven by a clock.

No I/O and no HTTP here: commands go to an executor, times come from the clock, errors are `BatchError`. The ``…_rules``
modules decide (pure functions), the others act on the account's resources.
"""
