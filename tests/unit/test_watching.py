"""How patient Kopf is with a list or a watch that is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from typing import cast

import pytest
from kopf._cogs.clients import errors, watching

from azure_batch_operator.handlers import watch


def waits_of(*, denied: bool) -> Iterable[float]:
    """After the last of these waits Kopf gives up, and ends the operator for all namespaces."""
    return cast("Iterable[float]", watch.operator_settings(lambda: denied).networking.error_backoffs)


def test_a_watch_is_tried_again_without_an_end_while_a_namespace_is_denied() -> None:
    waits = waits_of(denied=True)
    assert list(islice(waits, 1000))[8:] == [30] * 992
    assert list(islice(waits, 3)) == [1, 1, 2], "each request begins anew"


def test_a_watch_that_fails_for_another_cause_ends_the_operator_as_kopf_does_by_default() -> None:
    """Else an operator without its ClusterRole, or with an outdated certificate authority, is ready and sees nothing."""
    assert list(waits_of(denied=False)) == [1, 1, 2, 3, 5, 8, 13, 21]


@pytest.mark.parametrize(("said", "left"), [(True, [True]), (False, [False, True])])
def test_only_lines_about_what_is_forbidden_are_dropped_and_only_where_it_was_said(
    said: bool, left: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(watching.logger.name)
    quiet = watch._Quiet(lambda: said)
    logger.addFilter(quiet)
    forbidden = errors.APIForbiddenError(None, status=403, headers={})
    broken = errors.APIServerError(None, status=500, headers={})
    try:
        for error in (forbidden, broken):
            logger.error("Request attempt #1 failed; will retry: GET /apis -> %r", error)
    finally:
        logger.removeFilter(quiet)
    assert [("APIServerError" in record.getMessage()) for record in caplog.records] == left
    assert logger.name == watch.KOPF_LOGGER
