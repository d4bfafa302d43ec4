"""What Argo CD and Flux make of objects, by their own libraries (main.go), built and cached like the control plane.

Argo CD's Lua has no `string` library, and `os` only after `require("os")`; a script that works in another Lua may crash there.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from localcluster.goprogram import GoProgram, built

PROGRAM = GoProgram(Path(__file__).parent, "Argo CD's Lua and Flux' kstatus (about a minute)")


class ToolError(Exception):
    """What the tool would report instead of a result."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        do: kstatus, health, discovery or action.
        script: in Lua, for all but kstatus.
    """

    do: str
    object: Mapping[str, Any]
    script: str = ""


@lru_cache(maxsize=1)
def program() -> Path:
    """The program, built at the first use."""
    return built(PROGRAM) / PROGRAM.folder.name


def ask(questions: Iterable[Question]) -> list[Any]:
    """The answers, from one process.

    Raises:
        ToolError: with the text of the first error, such as that of a script that crashed.
    """
    text = "\n".join(json.dumps(vars(each)) for each in questions)
    done = subprocess.run([str(program())], input=text, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in answers:
        if "error" in answer:
            raise ToolError(answer["error"])
    return [answer["result"] for answer in answers]


def kstatus(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """The status of each object for Flux and `helm --wait`."""
    return [answer["status"] for answer in ask(Question("kstatus", each) for each in objects)]


def run(do: str, script: str, body: Mapping[str, Any]) -> Any:
    """What a script of Argo CD returns for an object."""
    return ask([Question(do, body, script)])[0]
