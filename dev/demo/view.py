"""How the demo shows what is going on: a table on a terminal, a line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from demo.results import Objects, phase

_COLOURS = {"Succeeded": "green", "Steady": "green", "Connected": "green", "Failed": "red", "Running": "yellow"}


def _detail(item: Mapping[str, Any]) -> str:
    status = item.get("status", {})
    match item["kind"]:
        case "BatchPool":
            return f"{status['nodes']} nodes" if "nodes" in status else ""
        case "BatchJob":
            return f"{status['progress']} tasks" if "progress" in status else ""
        case "BatchTask" if "exitCode" in status:
            return f"exit code {status['exitCode']}"
        case _:
            return ""


def table(objects: Objects) -> Table:
    """One row an object."""
    result = Table(box=None, pad_edge=False, padding=(0, 3, 0, 2), show_header=False)
    for item in objects:
        colour = _COLOURS.get(phase(item), "dim")
        name = f"{item['kind'].lower()}/{item['metadata']['name']}"
        result.add_row(name, f"[{colour}]{phase(item)}[/]", _detail(item))
    return result


def line(objects: Objects) -> str:
    """All in one line."""
    parts = []
    for item in objects:
        detail = _detail(item)
        parts.append(f"{item['metadata']['name']} {phase(item)}{f' {detail}' if detail else ''}")
    return ", ".join(parts)
