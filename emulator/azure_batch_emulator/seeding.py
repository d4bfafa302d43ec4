"""``--seed-file``: pools, jobs, tasks and schedules that are there when the emulator is ready.

The file is YAML or JSON with the bodies of the API, so what ``az batch … --json-file`` takes can be pasted. Each body goes
through the same handler as a call does, and is refused for the same reasons.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import orjson
import yaml

from azure_batch_emulator.engine.applications import set_application
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.schema import orders
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import Request
from azure_batch_emulator.web.query import Query
from azure_batch_emulator.web.routes import match
from azure_batch_emulator.wire.errors import BatchError, invalid_property

# Deeper than any body that the service takes.
_DEEPEST = 128
_SECTIONS = ("applications", "pools", "jobs", "jobSchedules")


class SeedError(ValueError):
    """The file cannot be used; the message names the place and the reason."""


def seed(service: BatchService, file: Path) -> None:
    """Create what a file describes.

    Raises:
        SeedError: it cannot be read, or the service refuses something of it.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{file}: {error}") from None
    except yaml.YAMLError as error:
        raise SeedError(f"{file} is not YAML: {error}") from None
    except RecursionError:
        raise SeedError(f"{file}: it is nested too deep; expected an object with {', '.join(_SECTIONS)}") from None
    if not isinstance(content, dict) or not set(content) <= set(_SECTIONS):
        raise SeedError(f"{file}: expected an object with {', '.join(_SECTIONS)}")
    for section in _SECTIONS:
        items = content.get(section)
        if items is None:
            continue
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise SeedError(f"{file}: {section} must be a list of objects")
        for index, item in enumerate(items):
            try:
                _create(service, section, _as_json(item))
            except (TypeError, ValueError) as error:
                # What YAML can say and JSON cannot: numbers beyond 64 bits, depth without end, halves of characters.
                raise SeedError(f"{file}: {section}[{index}]: it is not valid JSON: {error}") from None
            except BatchError as error:
                details = ": ".join(str(value) for value in error.values.values())
                raise SeedError(f"{file}: {section}[{index}]: {error.code}: {details or error.message}") from None


def _as_json(item: dict[str, Any]) -> dict[str, Any]:
    """An item as a caller of the API would have sent it: YAML has dates of its own, the API has text.

    Raises:
        ValueError: it has something else that JSON has not.
    """
    _check(item)
    parsed: dict[str, Any] = orjson.loads(orjson.dumps(item))
    return parsed


def _check(item: dict[str, Any]) -> None:
    waiting: list[tuple[Any, int]] = [(item, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"the key {key} is not a string: put it in quotes")  # noqa: TRY004 - as the others
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is not a number in JSON")
        elif value is not None and not isinstance(value, str | bool | int | float | datetime.date):
            raise ValueError(f"the YAML type {type(value).__name__} does not exist in JSON: use a string")


def _create(service: BatchService, section: str, item: dict[str, Any]) -> None:
    if section == "applications":
        body = {name: value for name, value in item.items() if name != "id"}
        name = orders.APPLICATION_ID.accept("id", item.get("id"))
        if name.lower() in service.applications:
            raise invalid_property("id", name, "The file contains this application twice.")
        set_application(service, name, orders.APPLICATION.accept("", body))
        return
    if section != "jobs":
        _call(service, "/pools" if section == "pools" else "/jobschedules", item)
        return
    tasks = item.get("tasks") or []
    _call(
        service, "/jobs", {name: value for name, value in item.items() if name not in ("tasks", "onAllTasksComplete")}
    )
    for task in orders.SEED_TASKS.accept("tasks", tasks):
        _call(service, f"/jobs/{item['id']}/tasks", task)
    if "onAllTasksComplete" in item:
        # Only now: a job without tasks would be over at once.
        _call(service, f"/jobs/{item['id']}", {"onAllTasksComplete": item["onAllTasksComplete"]}, "PATCH")


def _call(service: BatchService, path: str, body: dict[str, Any], method: str = "POST") -> None:
    found = match(method, path)
    request = Request(
        service=service,
        route=found.route,
        parameters=found.parameters,
        query=Query(""),
        headers={},
        body=orjson.dumps(body),
        base_url=service.endpoint,
        path=path,
        request_id="seed",
    )
    HANDLERS[found.route.operation](request)
