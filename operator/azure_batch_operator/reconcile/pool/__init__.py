"""Decisions about BatchPool; `lifecycle` holds the order of the steps."""
