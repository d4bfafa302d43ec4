"""The finalizer on Secrets: nothing else is touched, and nobody's change is lost."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.kube import secrets
from azure_batch_operator.kube.api import Conflict, NotFound

OURS, THEIRS = "azurebatch.io/finalizer", "acme.io/backup"


class Api:
    """One Secret; a patch is refused as long as `meanwhile` says that somebody else was faster."""

    def __init__(self, *finalizers: str, deleting: bool = False) -> None:
        self.metadata: dict[str, Any] = {"uid": "u", "resourceVersion": "1", "finalizers": list(finalizers)}
        if deleting:
            self.metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.meanwhile: list[dict[str, Any] | None] = []
        self.patches: list[list[dict[str, Any]]] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/team/secrets/key"
        if not self.metadata:
            raise NotFound("gone", 404)
        if method == "GET":
            return {"metadata": dict(self.metadata)}
        self.patches.append(body)
        if self.meanwhile:
            change = self.meanwhile.pop(0)
            self.metadata = {} if change is None else self.metadata | change
            raise Conflict("another version", 422)
        assert [each["path"] for each in body] == ["/metadata/uid", "/metadata/resourceVersion", "/metadata/finalizers"]
        self.metadata["finalizers"] = body[-1]["value"]
        return {}


async def keep(api: Api, *, present: bool) -> None:
    known = await secrets.read(api, "team", "key")  # type: ignore[arg-type]
    assert known is not None
    await secrets.set_kept(api, "team", "key", known, present=present)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "present", "after"),
    [([], True, [OURS]), ([THEIRS], True, [THEIRS, OURS]), ([OURS, THEIRS], False, [THEIRS]), ([OURS], False, [])],
)
async def test_only_our_finalizer_changes(before: list[str], present: bool, after: list[str]) -> None:
    api = Api(*before)
    await keep(api, present=present)
    assert api.metadata["finalizers"] == after


@pytest.mark.parametrize(("before", "present"), [([OURS], True), ([THEIRS], False), ([], False)])
async def test_an_unchanged_value_is_not_written(before: list[str], present: bool) -> None:
    api = Api(*before)
    await keep(api, present=present)
    assert api.patches == []


async def test_a_change_of_another_client_meanwhile_is_kept() -> None:
    api = Api()
    api.meanwhile = [{"resourceVersion": "2", "finalizers": [THEIRS]}]
    await keep(api, present=True)
    assert api.metadata["finalizers"] == [THEIRS, OURS]


@pytest.mark.parametrize("meanwhile", [None, {"uid": "another"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
async def test_a_secret_that_is_gone_another_or_going_is_left_alone(meanwhile: dict[str, Any] | None) -> None:
    api = Api()
    api.meanwhile = [meanwhile]
    await keep(api, present=True)
    assert len(api.patches) == 1


async def test_no_finalizer_is_put_on_what_is_being_deleted() -> None:
    api = Api(THEIRS, deleting=True)
    await keep(api, present=True)
    assert api.patches == []


async def test_there_may_be_no_secret() -> None:
    api = Api()
    api.metadata = {}
    assert await secrets.read(api, "team", "key") is None  # type: ignore[arg-type]
