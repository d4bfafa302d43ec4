"""The language of autoscale formulas: parser, values, functions, evaluation (batch-semantics §7).

Knows nothing of pools: it is given variables and returns assignments. `engine.auto_scale` connects the two.
"""
