"""What there is at a moment, in a form in which two runs can be compared: all of Azure Batch, and the statuses of our objects.

Left out is what differs from run to run and means nothing: times (those of specs, after 2090, stay), versions, uids, request ids,
ids of nodes. Secrets, which the service never returns, are those that it was last sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from support.stage import Stage
from support.stage.apiserver import OURS

Body = dict[str, Any]
_LEFT_OUT = re.compile(
    r"(?i)(?:(?!maxwallclock|retention).*time|etag|lastmodified|url|resourceversion|odata\.metadata|nodeinfo|supportedimages"
    r"|callsperminute|tasksperminute|observedgeneration|reachedgeneration|selector|timestamp|taskrootdirectory|age|since)$"
)
_VARIES = re.compile(
    r"20[0-8]\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|tvmps_[0-9a-f]+_[dp]"
)
_SAMPLES = re.compile(r";\$(?:seen|latest|pending|busy|nodes)=[^;]*")
"""What a formula has seen, in the results of its run."""
_SECRETS = frozenset({"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"})
_OWNER = "azurebatch.io/owner"


@dataclass(frozen=True)
class Picture:
    """One of them.

    Attributes:
        azure: resources by kind and id, as the service returns them.
        secrets: what it was last sent of secrets, by resource and place.
        statuses: of our objects, by kind and name.
    """

    azure: Body
    secrets: Body
    statuses: Body

    def everything(self) -> Body:
        """All of it as one value."""
        return {"azure": self.azure, "secrets": self.secrets, "status": self.statuses}


def taken(stage: Stage, kind: str, names: Sequence[str]) -> dict[str, Picture]:
    """Pictures of objects, by name, each with what is its own in Azure Batch; of an account, with everything there is."""
    azure, secrets = _azure(stage), _secrets(stage)
    pictures = {}
    for name in names:
        whole = kind == "BatchAccount"
        auto = str(azure.get(f"job {name}", {}).get("executionInfo", {}).get("poolId"))
        mine = {
            key.replace(name, "own"): body
            for key, body in azure.items()
            if whole or name in key or (key == f"pool {auto}" and auto not in {"cpu", "gpu"})
        }
        hidden = {key.replace(name, "own"): body for key, body in secrets.items() if whole or name in key}
        status = {
            f"{body['kind']} {body['metadata']['name']}": body.get("status", {})
            for plural in OURS
            for body in stage.server.all(plural)
            if whole or body["metadata"]["name"] == name
        }
        pictures[name] = Picture(*(_plain(each, name) for each in (mine, hidden, status)))
    return pictures


def _azure(stage: Stage) -> Body:
    found: Body = {}
    for pool in stage.azure.all("/pools"):
        nodes = stage.azure.all(f"/pools/{pool['id']}/nodes")
        found[f"pool {pool['id']}"] = pool | {"nodes": sorted(str(each["state"]) for each in nodes)}
    for job in stage.azure.all("/jobs"):
        found[f"job {job['id']}"] = job
        for task in stage.azure.all(f"/jobs/{job['id']}/tasks"):
            found[f"task {job['id']}/{task['id']}"] = task
    for schedule in stage.azure.all("/jobschedules"):
        found[f"schedule {schedule['id']}"] = schedule
    return found


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {_text(key, name): _plain(each, name) for key, each in value.items() if not _LEFT_OUT.match(key)}
    if isinstance(value, list):
        if value and all(isinstance(each, dict) and each.keys() == {"name", "value"} for each in value):
            value = [each for each in value if not _is_note(each["name"])]
        return [_plain(each, name) for each in value]
    return _text(value, name) if isinstance(value, str) else value


def _text(value: str, name: str) -> str:
    return _SAMPLES.sub("", _VARIES.sub("<…>", value)).replace(name, "own")


def _is_note(name: str) -> bool:
    """Whether a metadata item is the operator's own memory, which may be behind until the next change (decision 20)."""
    return name.startswith("azurebatch.io/") and name != _OWNER


def _secrets(stage: Stage) -> Body:
    """Secrets in the last successful write of each member of each resource."""
    sent: dict[str, Body] = {}
    for call in stage.azure.log:
        if call.reads or not 200 <= call.status < 300:
            continue
        if call.method == "DELETE":
            for path in [each for each in sent if f"{each}/".startswith(f"{call.path}/")]:
                del sent[path]
            continue
        body = orjson.loads(call.body) if call.body else {}
        path = call.path.removesuffix("/updateproperties")
        if call.method == "POST" and call.operation.endswith("TaskCollection"):
            for task in body["value"]:
                sent[f"{call.path.rpartition('/')[0]}/tasks/{task['id']}"] = task
        elif call.method == "POST" and isinstance(body.get("id"), str):
            sent[f"{path}/{body['id']}"] = body
        elif path in sent:
            sent[path] = sent[path] | body
    return {path: found for path, body in sent.items() if (found := dict(_hidden(body, "")))}


def _hidden(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name in _SECRETS:
                yield f"{where}/{name}", each
            else:
                yield from _hidden(each, f"{where}/{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _hidden(each, f"{where}/{index}")
