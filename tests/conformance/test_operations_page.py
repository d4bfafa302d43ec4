"""docs/operations.md says what is true, and no operation is without a test."""

from __future__ import annotations

import pytest
from azure.batch import BatchClient
from azure.batch.aio import BatchClient as AsyncBatchClient

from azure_batch_emulator.web.routes import ROUTES, Route
from support.operations_page import PAGE, client_method, methods_tested, render


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_every_operation_has_a_client_method_and_a_test(route: Route) -> None:
    method = client_method(route.operation)
    assert hasattr(BatchClient, method)
    assert hasattr(AsyncBatchClient, method)
    assert methods_tested().get(method), f"no test calls {method}"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "run: python tests/support/operations_page.py --write"
