"""Decisions about BatchTask; `lifecycle` holds the order of the steps."""
