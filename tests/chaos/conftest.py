"""The same stage as the end-to-end tests."""

from e2e.conftest import cluster, installed, make_stage, stage

__all__ = ["cluster", "installed", "make_stage", "stage"]
