"""Every call that a plan can hold can be sent, and nothing else."""

from __future__ import annotations

import inspect

import pytest

from azure_batch_operator.batch import BatchClient, HostPolicy, SharedKey
from azure_batch_operator.reconcile import operation_verbs as verbs
from azure_batch_operator.reconcile import plan
from azure_batch_operator.sync.operations.sending import SEND
from azure_batch_operator.sync.sending import METHODS, Method


def test_every_call_of_a_plan_has_a_method() -> None:
    assert METHODS.keys() == plan.VERBS


def test_every_verb_of_an_operation_can_be_sent() -> None:
    assert SEND.keys() == verbs.VERBS.keys()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
async def test_the_client_has_the_method_and_it_takes_what_it_is_given(method: Method) -> None:
    client = BatchClient("https://a.westeurope.batch.azure.com", SharedKey("a", "a2V5"), hosts=HostPolicy())
    try:
        taken = inspect.signature(getattr(getattr(client, method.group), method.name)).parameters
    finally:
        await client.aclose()
    options = [each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values()]
    assert any(options), "priority and on_unanswered are options of every call"
