"""`azure-batch-operator check` looks where the operator looks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from azure_batch_operator import check, cli
from azure_batch_operator.kube.api import KubeError


@pytest.mark.parametrize(
    ("options", "environ", "looked_at"),
    [
        ([], {}, ()),
        ([], {"AZURE_BATCH_OPERATOR_NAMESPACES": '["team-a","team-b"]'}, ("team-a", "team-b")),
        (["--namespace=team-c"], {"AZURE_BATCH_OPERATOR_NAMESPACES": "team-a"}, ("team-c",)),
    ],
)
def test_the_accounts_of_the_watched_namespaces_are_checked(
    options: list[str], environ: dict[str, str], looked_at: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []

    async def run(_: str | None, namespaces: Sequence[str], __: float) -> list[check.Finding]:
        asked.append(namespaces)
        return []

    monkeypatch.setattr(check, "run", run)
    done = CliRunner().invoke(cli.main, ["check", *options], env=environ)
    assert done.exit_code == 0, done.output
    assert asked == [looked_at]


def test_a_wrong_setting_is_named() -> None:
    done = CliRunner().invoke(cli.main, ["check"], env={"AZURE_BATCH_OPERATOR_NAMESPACES": "Team"})
    assert done.exit_code == 1
    assert "AZURE_BATCH_OPERATOR_NAMESPACES" in done.output


class Api:
    """Lists nothing, and is not permitted to list team-b or the whole cluster."""

    async def list(self, _: object, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
        if namespace != "team-a":
            raise KubeError("batchaccounts.azurebatch.io is forbidden", 403)
        nothing: list[dict[str, Any]] = []
        for account in nothing:
            yield account


async def test_a_namespace_without_the_role_is_named_with_the_remedy() -> None:
    [found] = await check._accounts(Api(), ["team-a", "team-b"])  # type: ignore[arg-type]
    assert not found.good
    assert found.text.startswith(
        "accounts of namespace team-b cannot be listed: batchaccounts.azurebatch.io is forbidden. "
    )
    assert "remove it from the setting namespaces (in the chart: watchNamespaces)" in found.text


async def test_a_cluster_that_may_not_be_listed_points_to_the_setting() -> None:
    [found] = await check._accounts(Api(), [])  # type: ignore[arg-type]
    assert "AZURE_BATCH_OPERATOR_NAMESPACES" in found.text
