"""What it costs to hide values of Secrets, counted, and what is left of them when they are let go."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from azure_batch_operator.batch import redaction
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.redaction import SecretValues, without
from azure_batch_operator.reconcile.value_references import Source
from azure_batch_operator.sync.hidden import Hidden


def private_key(number: int) -> str:
    """A key of 25 lines that differs from the others in each."""
    lines = [base64.b64encode(bytes([number % 256, number // 256, line]) * 16).decode() for line in range(25)]
    return "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----\n"])


def refusal() -> BatchError:
    return BatchError(
        "One of the request inputs is out of range",
        code="InvalidPropertyValue",
        values={"PropertyName": "requiredSlots", "PropertyValue": "9", "Reason": "must be at most 4"},
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the forms of a value were computed, and how often a text was compared with a form."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(redaction, name)

        def call(*given: str) -> Any:
            counted[name] += 1
            return real(*given)

        return call

    for name in ("_shown_as", "_without_ends"):
        monkeypatch.setattr(redaction, name, counting(name))
    return counted


@pytest.mark.parametrize(("make", "number"), [(private_key, 100), (lambda n: f"value-{n:04}-{n:04}", 600)])
def test_a_text_that_quotes_nothing_is_compared_with_no_form(
    calls: Counter[str], make: Callable[[int], str], number: int
) -> None:
    values = SecretValues(make(each) for each in range(number))
    for _ in range(100):
        refusal().hide(values)
    assert calls == {"_shown_as": number}


async def test_forms_are_computed_once_per_value_however_many_namespaces_there_are(calls: Counter[str]) -> None:
    hidden = Hidden(read=None, find=lambda _: None, tasks_of=lambda _: ())  # type: ignore[arg-type]
    for _ in range(3):
        for namespace in ("a", "b", "c"):
            read = {Source("Secret", f"s{number}", "key"): f"{namespace}-{number:04}-value" for number in range(300)}
            await hidden.remember(namespace, read)
            refusal().hide(hidden.sent(namespace), hidden.sent("a"))
    assert calls == {"_shown_as": 3 * 300}


def test_only_the_forms_that_a_text_may_quote_are_compared(calls: Counter[str]) -> None:
    values = SecretValues(f"{number:04}-value-{number:04}" for number in range(600))
    assert without("it is 0007-value-0007 and no other", values) == "it is … and no other"
    assert calls["_without_ends"] == 1


def test_nothing_is_left_of_a_value_that_is_discarded_but_what_another_has() -> None:
    values = SecretValues(["first line\nshared line", "other line\nshared line"])
    values.discard("first line\nshared line")
    assert without("first line, other line, shared line", values) == "first line, …, …"
    values.discard("other line\nshared line")
    values.discard("unknown")
    assert (len(values), values._forms, values._by_mark) == (0, {}, {})


async def test_a_value_of_two_secrets_is_hidden_until_both_are_released() -> None:
    hidden = Hidden(read=None, find=lambda _: None, tasks_of=lambda _: ())  # type: ignore[arg-type]

    async def use(name: str, value: str) -> None:
        await hidden.remember("a", {Source("Secret", name, "key"): value})

    await use("one", "hunter2")
    await use("two", "hunter2")
    for number in range(511):
        await use(f"s{number}", f"value-{number:04}")
    assert without("hunter2", hidden.sent("a")) == "…", "the value of the second"
    await use("s511", "value-0511")
    assert without("hunter2", hidden.sent("a")) == "hunter2"
    assert len(hidden.sent("a")) == 512


def test_overlapping_values_of_two_collections_stay_hidden() -> None:
    for secrets in (["hunter2"], ["hunter2-longer"]), (["hunter2-longer"], ["hunter2"]):
        assert without("it is hunter2-longer", *secrets) == "it is …"


async def test_no_forms_are_computed_of_values_that_are_not_kept(calls: Counter[str]) -> None:
    hidden = Hidden(read=None, find=lambda _: None, tasks_of=lambda _: ())  # type: ignore[arg-type]
    await hidden.remember("a", {Source("Secret", f"s{number}", "key"): f"value-{number:04}" for number in range(2000)})
    assert calls == {"_shown_as": 512}
    assert without("value-1487, value-1488, value-1999", hidden.sent("a")) == "value-1487, …, …"
