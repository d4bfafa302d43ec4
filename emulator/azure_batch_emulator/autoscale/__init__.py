"""The language of autoscale formulas: parser, values, functions, evaluation (docs/azure-batch.md#autoscale-formulas).

Knows nothing of pools: it is given variables and returns assignments. `engine.auto_scale` connects the two.
"""
