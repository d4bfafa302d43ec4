"""Resources are small and quick to read: there are thousands of them."""

from __future__ import annotations

import json
from typing import Any

from azure_batch_operator.api.resource import Resource


def parsed(name: str, **status: Any) -> Resource:
    metadata = {"name": name, "namespace": "team", "uid": f"u-{name}", "resourceVersion": "7"}
    spec = {"jobRef": {"name": "render"}, "commandLine": f"/bin/{name}", "displayName": None}
    body = {"kind": "BatchTask", "metadata": metadata, "spec": spec, "status": status}
    return Resource.parse(json.loads(json.dumps(body)))


def test_objects_share_names_and_short_texts() -> None:
    """Each body comes from a response of its own, with texts of its own."""
    one, other = (parsed(name, phase="Succeeded", jobId="render") for name in ("a", "b"))
    assert one.spec == {"jobRef": {"name": "render"}, "commandLine": "/bin/a"}
    assert one.spec["jobRef"]["name"] is other.spec["jobRef"]["name"]
    assert one.status["phase"] is other.status["phase"]
    for mine, theirs in ((one.spec, other.spec), (one.status, other.status)):
        assert [id(name) for name in mine] == [id(name) for name in theirs]


def test_long_texts_are_not_kept_for_others() -> None:
    long = "x" * 33
    assert parsed("a", phase=long).status["phase"] is not parsed("b", phase=long).status["phase"]
