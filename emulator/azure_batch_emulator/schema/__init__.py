"""What request bodies may hold: every property with type, range, default and the service's spelling of its values.

`types` has the building blocks; the other modules describe pools, jobs, tasks, schedules and the bodies of actions.
Validation and normalisation are one pass, so that what is stored is already what the service would return.
"""
