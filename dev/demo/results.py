"""What the demo must bring about, read from the API server and judged."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.cluster import LocalCluster

Objects = Sequence[Mapping[str, Any]]

EXPECTED = {
    ("BatchAccount", "main"): "Connected",
    ("BatchPool", "cpu"): "Steady",
    ("BatchJob", "render"): "Succeeded",
    ("BatchJob", "checks"): "Failed",
    ("BatchJob", "steps"): "Succeeded",
    ("BatchTask", "fetch"): "Succeeded",
    ("BatchTask", "compute"): "Succeeded",
    ("BatchTask", "report"): "Succeeded",
}
_SIDE = 512


@dataclass(frozen=True)
class Failure:
    """A failed job and what it says of itself."""

    job: str
    message: str
    stderr: str


def read(cluster: LocalCluster) -> Objects:
    """All objects of our group in the default namespace."""
    answer = cluster.kubectl("get", "bacc,bp,bj,bt", "-o", "json")
    items: Objects = json.loads(answer.stdout)["items"]
    return items


def phase(item: Mapping[str, Any]) -> str:
    """The one word."""
    return str(item.get("status", {}).get("phase", ""))


def ended(objects: Objects) -> bool:
    """Whether all jobs and tasks have come to an end."""
    bounded = [item for item in objects if item["kind"] in {"BatchJob", "BatchTask"}]
    return bool(bounded) and all(phase(item) in {"Succeeded", "Failed"} for item in bounded)


def failures(objects: Objects) -> list[Failure]:
    """The failed jobs, each with the cause that its status shows."""
    found = []
    for item in objects:
        if item["kind"] == "BatchJob" and phase(item) == "Failed":
            groups = item["status"].get("failures") or [{}]
            message = next(each["message"] for each in item["status"]["conditions"] if each["type"] == "Failed")
            cause = f"exit code {groups[0].get('exitCode')}, {groups[0].get('code')}: {groups[0].get('message')}"
            found.append(Failure(item["metadata"]["name"], f"{message}: {cause}", groups[0].get("stderrTail", "")))
    return found


def missing(objects: Objects, picture: Path) -> list[str]:
    """What is not as it should be."""
    found = {(item["kind"], item["metadata"]["name"]): phase(item) for item in objects}
    wrong = [
        f"{kind} {name} is {found.get((kind, name), 'missing')!r}, should be {wanted!r}"
        for (kind, name), wanted in EXPECTED.items()
        if found.get((kind, name)) != wanted
    ]
    if not any("licence server" in failure.stderr for failure in failures(objects)):
        wrong.append("the failed task's stderr is not in the status of its job")
    if not _is_picture(picture):
        wrong.append("the rendered picture is not there")
    return wrong


def _is_picture(path: Path) -> bool:
    """Whether it is a PNG of the right size."""
    data = path.read_bytes() if path.exists() else b""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (_SIDE, _SIDE)
