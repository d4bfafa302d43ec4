"""What the watches report, and how patient Kopf is with a list or a watch that is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from typing import cast

import pytest
from kopf._cogs.clients import errors, watching

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
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


def test_a_watch_is_tried_for_a_minute_more_when_its_namespace_is_no_longer_denied() -> None:
    """Rights that are granted again do not reach all API servers at the same time, and a look may have asked another one."""
    denied = True
    waits = iter(cast("Iterable[float]", watch.operator_settings(lambda: denied).networking.error_backoffs))
    assert list(islice(waits, 10))[8:] == [30, 30]
    denied = False
    assert list(waits) == [1, 1, 2, 3, 5, 8, 13, 21]


@pytest.mark.parametrize(
    ("denied", "left"), [(["team"], ["b", "team500", "b500"]), ([], ["team", "b", "team500", "b500"])]
)
def test_only_lines_about_what_is_forbidden_are_dropped_and_only_where_it_was_said(
    denied: list[str], left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(watching.logger.name)
    quiet = watch._Quiet(lambda: denied)
    logger.addFilter(quiet)
    forbidden = errors.APIForbiddenError(None, status=403, headers={})
    broken = errors.APIServerError(None, status=500, headers={})
    try:
        for error, number in ((forbidden, ""), (broken, "500")):
            for name in ("team", "b"):
                path = f"https://kubernetes/apis/azurebatch.io/v1alpha1/namespaces/{name}/batchpools?watch=true"
                text = f"Request attempt #1 failed; will retry: GET {path} -> {error!r}"
                logger.error(text, extra={"line": f"{name}{number}"})
    finally:
        logger.removeFilter(quiet)
    assert [record.__dict__["line"] for record in caplog.records] == left
    assert logger.name == watch.KOPF_LOGGER


@pytest.mark.parametrize(
    ("type_", "version", "told"),
    [("MODIFIED", 7, False), ("MODIFIED", 8, True), (None, 7, False), ("ADDED", 7, False), ("DELETED", 7, True)],
)
async def test_an_event_with_a_known_version_is_not_read_unless_it_is_a_deletion(
    type_: str | None, version: int, told: bool
) -> None:
    seen: list[Resource] = []
    asked: list[tuple[Key, int]] = []

    def knows(key: Key, version: int) -> bool:
        asked.append((key, version))
        return version <= 7

    observe = watch.observer(seen.append, seen.append, seen.append, knows)
    metadata = {"name": "one", "namespace": "default", "uid": "u", "resourceVersion": str(version)}
    await observe(
        {"type": type_, "object": {"kind": "BatchTask", "metadata": metadata, "spec": {"commandLine": "true"}}}
    )
    assert bool(seen) is told
    assert asked == ([] if type_ == "DELETED" else [(Key(Kind.TASK, "default", "one"), version)])
