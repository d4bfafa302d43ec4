"""The decisions: one package per kind with a pure `plan`, and their shared vocabulary. Uses only `api` and `batch`.

A plan is made from what the user wants (a `Resource`), what the poller saw in Azure Batch (`Remote`) and the time; it holds the
calls to make, the status to show and when to look again. `sync.controller` carries plans out.
"""
