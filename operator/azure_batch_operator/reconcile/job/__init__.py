"""Decisions about BatchJob; `lifecycle` holds the order of the steps."""
