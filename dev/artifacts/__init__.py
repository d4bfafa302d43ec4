"""Writes what is shipped from what it is derived from: the Helm chart, dashboards and alerts, and pages of the documentation.

Beside `azure_batch_operator.generate`, which does the same for everything that comes from the models of the custom resources. Not
part of the operator: the image and the wheel do not hold it.
"""
