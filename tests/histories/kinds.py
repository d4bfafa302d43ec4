"""What kind of action or fault a step is, so that a run can count what users did and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from histories.history import History
from histories.play_words import USERS
from histories.record import Done

_LONG = 60
"""Seconds from which on a Retry-After is a long one."""
_PLAIN: Mapping[str, str] = {
    "account": "create an account", "copy-pool": "copy a pool in Azure Batch", "rotate-key": "rotate a key",
    "rotate-principal": "rotate a Secret", "hold": "call that lands late", "api-down": "API server down",
    "expire-pages": "API server 410", "watch-hold": "silent watch", "watch-delay": "late events", "watch-replay": "repeated events",
    "watch-shuffle": "events out of order", "lag": "counts that lag", "omit": "lists that move", "quota": "quota",
    "kill": "operator killed", "stop": "operator stopped", "kill-at-effect": "operator killed at an effect",
    "freeze": "operator frozen", "clock-jump": "clocks that jump", "clock-skew": "clock skew", "principal": "tokens that expire",
    "authority": "no tokens", "revoke-tokens": "tokens revoked", "role": "fewer permissions",
}  # fmt: skip
"""Steps that are of one kind whatever their arguments are."""
_EFFECTS: Mapping[str, str] = {
    "hang": "hang", "landAfter": "call that lands late", "reset": "reset", "lostAnswer": "answer lost after the effect",
    "truncate": "truncated", "corrupt": "corrupt", "partial": "partial", "delay": "slow",
}  # fmt: skip
"""Members of an effect on a call to Azure Batch, the telling ones first."""


def counted(history: History, steps: Iterable[Done]) -> Iterator[tuple[bool, str]]:
    """Each step that was taken, and who else was there: whether it is a user's, and its kind."""
    if history.replicas > 1:
        yield False, "operators sharing accounts" if "shards" in history.settings else "operators with leader election"
    known: dict[tuple[str, str, str], bool] = {}
    for step in steps:
        if step.do in USERS or step.do == "rotate-principal":
            yield True, _users(step, known)
        elif step.do != "secret-follows":
            yield False, _faults(step.do, step.args)


def _faults(do: str, args: Mapping[str, Any]) -> str:
    match do:
        case "fault":
            return _of_effect(args["effect"])
        case "api-fault":
            return f"API server {_of_api(args)}"
        case "node":
            return "preemption" if args["what"] == "preempt" else "node loss"
        case _:
            return _PLAIN[do]


def _of_effect(effect: Mapping[str, Any]) -> str:
    status = effect.get("status")
    if status is None:
        return next(word for name, word in _EFFECTS.items() if effect.get(name))
    if status == 429:
        return "429 with a long Retry-After" if (effect.get("retryAfter") or 0) >= _LONG else "429"
    return "5xx" if status >= 500 else str(status)


def _of_api(args: Mapping[str, Any]) -> str:
    if args.get("status") is not None:
        return str(args["status"])
    if args.get("lost"):
        return "answer lost" if args["lost"] == "after" else "reset"
    return "hang" if args.get("hang") else "slow"


def _users(step: Done, known: dict[tuple[str, str, str], bool]) -> str:
    """The kind of a user's step; `known` tells of each object that was made whether it is there."""
    args = step.args
    match step.do:
        case "apply":
            return _applied(args["object"], known, refused=bool(step.refusal))
        case "patch":
            return _patched(args["kind"], args["patch"])
        case "delete" if args["kind"].lower() == "namespace":
            known.update({key: False for key in known if key[1] == args["name"]})
            return "delete a namespace"
        case "delete":
            known[args["kind"].lower(), args.get("namespace", "default"), args["name"]] = False
            return "delete"
        case "azure":
            return "delete in Azure Batch" if args["method"] == "DELETE" else "edit in Azure Batch"
        case _:
            return _PLAIN[step.do]


def _applied(body: Mapping[str, Any], known: dict[tuple[str, str, str], bool], *, refused: bool) -> str:
    kind, metadata = body["kind"], body["metadata"]
    if kind in {"Namespace", "Secret", "ConfigMap"}:
        return {"Namespace": "create a namespace", "Secret": "rotate a Secret", "ConfigMap": "change a ConfigMap"}[kind]
    key = kind.lower(), metadata.get("namespace", "default"), metadata["name"]
    there = known.get(key)
    if not refused:
        known[key] = True
    if "azurebatch.io/adopt" in (metadata.get("annotations") or {}):
        return "adopt"
    return "create" if there is None else "change" if there else "re-create under the same name"


def _patched(kind: str, patch: Mapping[str, Any]) -> str:
    if kind.lower() == "namespace":
        return "annotate a namespace"
    if (annotations := (patch.get("metadata") or {}).get("annotations")) is not None:
        return "adopt" if "azurebatch.io/adopt" in annotations else "annotate"
    members = set(patch.get("spec") or ())
    if members == {"suspend"}:
        return "suspend"
    return "scale" if members and members <= {"targetDedicatedNodes", "targetLowPriorityNodes"} else "change"
