"""Decisions about BatchJobSchedule; `lifecycle` holds the order of the steps."""
