"""Decisions about BatchOperation; `lifecycle` holds the order of the steps."""
