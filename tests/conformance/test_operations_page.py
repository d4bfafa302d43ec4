"""docs/operations.md says what is true, and no operation is without a test."""

from __future__ import annotations

import re

import click
import pytest
from azure.batch import BatchClient
from azure.batch.aio import BatchClient as AsyncBatchClient

from artifacts.operations import HELPERS, calls_of, client_method, methods_tested, page
from artifacts.user_places import PLACES
from azure_batch_emulator.web.routes import ROUTES, Route
from azure_batch_kubectl.cli import plugin
from azure_batch_operator.api.kinds import KINDS
from azure_batch_operator.api.operation import TARGETS


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_every_operation_has_a_client_method_and_a_test(route: Route) -> None:
    method = client_method(route.operation)
    assert hasattr(BatchClient, method)
    assert hasattr(AsyncBatchClient, method)
    assert methods_tested().get(method), f"no test calls {method}"


@pytest.mark.parametrize(("method", "helper"), HELPERS.items())
def test_a_helper_makes_the_call_that_it_counts_as(method: str, helper: str) -> None:
    found = calls_of(helper)
    assert found, f"there is no helper {helper}"
    assert all(method in calls for calls in found), f"a helper {helper} does not call client.{method}"


def test_no_cell_is_empty() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(ROUTES) == 77
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 6, row
        assert all(cells), row
    assert PLACES.keys() == {route.operation for route in ROUTES}


def test_every_verb_of_a_batch_operation_is_on_the_page() -> None:
    named = {verb for place in PLACES.values() for verb in re.findall(r"BatchOperation `(\w+)`", place)}
    assert named == set(TARGETS)


def test_commands_and_properties_that_are_named_exist() -> None:
    code = {each for place in PLACES.values() for each in re.findall(r"`([^`]+)`", place)}
    for command in (each.split()[2:] for each in code if each.startswith("kubectl azure-batch ")):
        found: click.Command = plugin
        for word in command:
            assert isinstance(found, click.Group)
            found = found.commands[word]
    known = {
        f"{part}.{name}"
        for info in KINDS.values()
        for part, model in (("spec", info.spec), ("status", info.status))
        for name in (*model.wire_names(), *(each.name for each in model.refused))
    }
    assert {each for each in code if each.startswith(("spec.", "status."))} <= known
