"""Words that options and commands take. Apart from what they mean, so that `--help` loads nothing else."""

from __future__ import annotations

from enum import StrEnum

from azure_batch_kubectl.jsonpath import Template


class Action(StrEnum):
    """A command that changes an object."""

    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    TERMINATE = "terminate"


class Form(StrEnum):
    """Values of `-o`."""

    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    WIDE = "wide"


Output = Form | Template
"""The value of `-o`."""


class Goal(StrEnum):
    """What to wait for."""

    COMPLETE = "complete"
    FAILED = "failed"
    ENDED = "ended"
