"""cost: shares of jobs in what their pool costs, as the statuses say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.testing import Result

from azure_batch_kubectl.cost import table
from unit.kubectl.conftest import FakeCluster, thing

PRICES = {"accountRef": {"name": "main"}, "pricesFrom": {"name": "p", "key": "k"}}


def pool(name: str, price: str | None, total: int, used: int, *conditions: tuple[str, str, str, str]) -> dict[str, Any]:
    cost = {} if price is None else {"estimatedCostPerHour": price}
    return thing("BatchPool", name, *conditions, slots={"total": total, "used": used}, **cost) | {"spec": PRICES}


def job(name: str, pool_id: str, running: int, *conditions: tuple[str, str, str, str], **status: Any) -> dict[str, Any]:
    counts = {"poolId": pool_id, "taskCounts": {"running": running}, "account": "team/main", **status}
    return thing("BatchJob", name, *conditions, **counts)


def test_jobs_share_by_slots_and_the_rest_is_idle() -> None:
    wide = job("wide", "cpu", 1, taskSlotCounts={"running": 4})
    over = job("over", "cpu", 3, ("Complete", "True", "Done", ""))
    found = table([pool("cpu", "12.00 EUR", 8, 6)], [job("b", "cpu", 2), wide, job("other", "gpu", 9), over])
    assert found.rows == (
        ("cpu", "", "6/8", "12.00 EUR", ""),
        ("", "b", 2, "3.00 EUR", ""),
        ("", "wide", 4, "6.00 EUR", ""),
        ("", "(idle)", 2, "3.00 EUR", ""),
    )
    assert found.sums == {"EUR": 12.0}


def test_more_slots_than_the_pool_shows_are_shared_among_the_jobs() -> None:
    """The pool was looked at before the job."""
    found = table([pool("cpu", "2.00 USD", 2, 2)], [job("a", "cpu", 3), job("b", "cpu", 1)])
    assert [row[3] for row in found.rows] == ["2.00 USD", "1.50 USD", "0.50 USD"]


def test_a_pool_without_a_price_says_why() -> None:
    no_price = pool("gpu", None, 0, 0, ("CostEstimated", "False", "PricesInvalid", "there is no price for nc6"))
    none_wanted = thing("BatchPool", "own")
    found = table([no_price, none_wanted], [])
    assert [row[-1] for row in found.rows] == ["there is no price for nc6", "no prices: set spec.pricesFrom"]
    assert found.sums == {}


def test_a_job_of_another_account_does_not_share() -> None:
    found = table([pool("cpu", "1.00 USD", 1, 1)], [job("b", "cpu", 1, account="team/other")])
    assert [row[1] for row in found.rows] == ["", "(idle)"]


def test_the_command_says_that_it_estimates(fake: FakeCluster, run: Callable[..., Result]) -> None:
    assert run("cost").stderr == "No pools in namespace 'team'.\n"
    fake.add(thing("BatchPool", "own"))
    assert run("cost").stderr == ""
    fake.add(pool("cpu", "1.50 EUR", 2, 0))
    done = run("cost")
    assert "All pools: about 1.50 EUR in an hour, 36.00 EUR in a day at the current size." in done.stdout
    assert done.stderr == "These are estimates from your prices and the current nodes, not a bill.\n"
