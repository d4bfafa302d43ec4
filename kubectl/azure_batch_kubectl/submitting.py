"""The manifest of `submit`: a script of the user, run once for each value.

The script goes into the job, as an environment variable of all its tasks, and values and arguments go into variables of each task.
So neither passes a shell or the quoting of a command line: a value with quotes, blanks or `$(…)` reaches the script as it is.
tests/unit/kubectl/test_submitting.py runs what the command line does.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.api.kinds import Kind

SCRIPT = "SUBMIT_SCRIPT"
_ARGUMENT = "SUBMIT_ARG_"
_RANGE = re.compile(r"(-?\d+)-(-?\d+)(?::(-?\d+))?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_LONGEST_SCRIPT = 65536
"""Characters that the schema takes in a variable."""
_LARGEST_CONFIG_MAP = 1_000_000
_KEY = "items"
_LONGEST_SLUG = 50
"""Characters of a name, so that it fits into an ID of 64 with what is added."""


@dataclass(frozen=True)
class Over:
    """What the tasks run over: one `--over`.

    Attributes:
        set: a dimension of a sweep, None for a file.
        items: the text of a file.
        csv: whether the file is a CSV table.
    """

    set: Mapping[str, Any] | None = None
    items: str = ""
    csv: bool = False

    def columns(self) -> int:
        """How many values it gives to a task."""
        return len(next(csv.reader(io.StringIO(self.items)), ())) if self.csv else 1


@dataclass(frozen=True)
class Order:
    """What the user wants.

    Attributes:
        name: of the job.
        file: name of the script.
        script: its text.
        overs: none for a single task.
        arguments: of the script; the values themselves if there are none.
        settings: more of the spec.
    """

    name: str
    file: str
    script: str
    overs: tuple[Over, ...]
    arguments: tuple[str, ...]
    settings: Mapping[str, Any]


def over(word: str, text: str | None) -> Over:
    """What `1-100`, `1-100:10` or `a,b,c` means, or a file by its text.

    Raises:
        FailureError: it means nothing.
    """
    if text is not None:
        return _file(word, text)
    if match := _RANGE.fullmatch(word):
        start, end, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if step == 0 or (end - start) * step < 0:
            raise FailureError(f"--over {word}: {end} cannot be reached from {start}: swap them, or give another step")
        return Over({"start": start, "end": end} | ({"step": step} if match[3] else {}))
    if "," in word:
        return Over({"values": [each.strip() for each in word.split(",") if each.strip()]})
    raise FailureError(
        f"--over {word}: there is no such file: give a file, a range such as 1-100, or a list such as a,b,c"
    )


def _file(word: str, text: str) -> Over:
    table = word.lower().endswith(".csv")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) <= table:
        raise FailureError(f"--over {word}: the file has no {'rows below its header' if table else 'lines'}")
    if len(text.encode()) > _LARGEST_CONFIG_MAP:
        raise FailureError(f"--over {word}: the file is larger than 1 MB, the most that a ConfigMap holds: split it")
    return Over(items=text, csv=table)


def check(order: Order) -> None:
    """Refuse what the job could not run.

    Raises:
        FailureError: with what to do.
    """
    if len(order.script) > _LONGEST_SCRIPT:
        raise FailureError(
            f"{order.file} has {len(order.script)} characters, but a variable can hold only {_LONGEST_SCRIPT}: put it "
            "into storage and "
            "name it in resourceFiles of a BatchJob (docs/recipes.md)"
        )
    if len(order.overs) > 1 and any(each.set is None for each in order.overs):
        raise FailureError("a file cannot be combined with another --over: put all columns into one CSV file")


def slug(file: str) -> str:
    """The beginning of a name that says which script it was."""
    stem = re.sub(r"[^a-z0-9-]+", "-", PurePath(file).stem.lower())[:_LONGEST_SLUG].strip("-")
    return stem or "job"


def manifests(order: Order) -> list[dict[str, Any]]:
    """The BatchJob, after the ConfigMap with its items if it has any.

    Raises:
        FailureError: the job could not run.
    """
    check(order)
    items = next((each for each in order.overs if each.set is None), None)
    spec: dict[str, Any] = {
        **order.settings,
        "commonEnvironmentSettings": [{"name": SCRIPT, "value": order.script}],
        **_tasks(order, items),
    }
    job = {"apiVersion": API_VERSION, "kind": Kind.JOB.value, "metadata": {"name": order.name}, "spec": spec}
    if items is None:
        return [job]
    metadata = {"name": f"{order.name}-items"}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_KEY: items.items}}, job]


def _tasks(order: Order, items: Over | None) -> dict[str, Any]:
    if not order.overs:
        return {"tasks": [{"id": "task", **_command(order.file, order.script, order.arguments)}]}
    number = sum(each.columns() for each in order.overs)
    arguments = order.arguments or tuple(f"{{{index}}}" for index in range(number))
    template = _command(order.file, order.script, arguments)
    if items is None:
        source: dict[str, Any] = {"parametricSweep": {"parameterSets": [dict(each.set or {}) for each in order.overs]}}
    else:
        reference = {"name": f"{order.name}-items", "key": _KEY}
        form = "csv" if items.csv else "lines"
        source = {"taskPerItem": {"itemsFrom": {"configMapKeyRef": reference, "format": form}}}
    return {"taskFactory": {**source, "repeatTask": template}}


def _command(file: str, script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The command line of a task, the same whatever the arguments hold, and their variables."""
    name = file if _PLAIN_NAME.fullmatch(file) else "script"
    start = f"exec ./{name}" if script.startswith("#!") else f"exec /bin/sh ./{name}"
    given = "".join(f' "${_ARGUMENT}{number}"' for number in range(1, len(arguments) + 1))
    line = f'/bin/sh -c \'printf "%s" "${SCRIPT}" > ./{name} && chmod +x ./{name} && {start}{given}\''
    settings = [{"name": f"{_ARGUMENT}{number}", "value": each} for number, each in enumerate(arguments, 1)]
    return {"commandLine": line} | ({"environmentSettings": settings} if settings else {})
