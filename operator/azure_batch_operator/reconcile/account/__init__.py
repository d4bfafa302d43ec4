"""Decisions about BatchAccount; `lifecycle` holds the order of the steps."""
