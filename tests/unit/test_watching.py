"""How patient Kopf is with a list or a watch that is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from typing import cast

import pytest
from kopf._cogs.clients import errors, watching

from azure_batch_operator.handlers import watch


def test_a_refused_watch_is_tried_again_without_an_end() -> None:
    """After the last of these waits Kopf gives up, and ends the operator for all namespaces."""
    waits = cast("Iterable[float]", watch.operator_settings().networking.error_backoffs)
    assert list(islice(waits, 1000))[8:] == [30] * 992
    assert list(islice(waits, 3)) == [1, 1, 2], "each request begins anew"


def test_only_the_lines_about_what_is_forbidden_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(watching.logger.name)
    logger.addFilter(watch._QUIET)
    forbidden = errors.APIForbiddenError(None, status=403, headers={})
    broken = errors.APIServerError(None, status=500, headers={})
    try:
        for error in (forbidden, broken):
            logger.error("Request attempt #1 failed; will retry: GET /apis -> %r", error)
    finally:
        logger.removeFilter(watch._QUIET)
    assert [("APIServerError" in record.getMessage()) for record in caplog.records] == [True]
    assert logger.name == watch.KOPF_LOGGER
