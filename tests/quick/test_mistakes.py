"""What conditions say of the mistakes that only the operator can tell; those that the API server refuses are in tests/e2e."""

from __future__ import annotations

from support.mistakes import AT_APPLY, IN_CONDITIONS, check, mistakes, told
from support.stage import Options, Refusal, Stage, job, run_on_stage, secret


async def _said(stage: Stage, title: str, found: dict[str, list[str]]) -> None:
    manifest = mistakes()[title]
    await stage.ready_pool()
    stage.apply(secret("tokens", token="hush"), job("steps"))
    stage.azure.post("/jobs", {"id": "taken", "poolInfo": {"poolId": "cpu"}})
    await stage.until(lambda: stage.azure.get("/jobs/steps"), 60)
    try:
        stage.apply(manifest)
    except Refusal:
        return
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    await stage.until(lambda: (stage.condition(kind, name, "Ready") or {}).get("status") == "False", 60)
    await stage.run_for(60)
    ready = stage.condition(kind, name, "Ready")
    assert ready["status"] == "False", title
    found[title] = [f"{ready['reason']}: {ready['message']}"]
    assert [each["type"] for each in stage.events(kind, name)] == ["Warning"], title


def test_mistakes_that_only_the_operator_can_tell() -> None:
    found: dict[str, list[str]] = {}
    for title in mistakes():
        run_on_stage(lambda stage, title=title: _said(stage, title, found), Options())  # type: ignore[misc]
    check(found, IN_CONDITIONS)
    assert "hush" not in str(found)


def test_every_mistake_is_told_once_either_at_apply_or_by_a_condition() -> None:
    assert sorted([*told(AT_APPLY), *told(IN_CONDITIONS)]) == sorted(mistakes())
    assert len(mistakes()) == 45
