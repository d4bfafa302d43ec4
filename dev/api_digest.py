"""Makes tests/data/api-2024-07-01.20.0.json from the published description of the API's operations.

    python dev/api_digest.py azure-batch-operations.txt > tests/data/api-2024-07-01.20.0.json

The description is a listing that is not in the repository; Microsoft publishes the API in the GitHub repository
Azure/azure-rest-api-specs. Add a single new property to the digest by hand (docs/architecture.md, "A property that Azure Batch
has").

The description lists for each operation the request (parameters and body) and the responses as pseudo-JSON. The digest
keeps what tests compare the operation table and the models with: names and types. Objects that occur more than once are
stored once, under "shapes", and referred to by number:

    {"shapes": [{"id": "string", "startTask": 4, "metadata": [7], …}, …],
     "operations": {"Pools_CreatePool": {"verb": "POST", "path": "/pools", "parameters": {"timeOut": "integer", …},
                                         "body": 12, "responses": {"201": {"headers": [...], "schema": null}}}, …}}
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_TITLE = re.compile(r"^(\w+_\w+) \(\w+\)$")
_REQUEST = re.compile(r"^(GET|HEAD|POST|PUT|PATCH|DELETE):\s+(/\S*)$")


class _Lines:
    """The lines of one operation, read from front to back."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = [line.strip() for line in lines if line.strip() not in ("", ",")]
        self._at = 0

    def peek(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def value(self) -> Any:
        """An object, an array, or the name of a type."""
        first = self.take()
        if first == "{":
            members: dict[str, Any] = {}
            while self.peek() != "}":
                name, _, kind = self.take().partition(":")
                members[name] = kind.strip().rstrip(" ,") or self.value()
            self.take()
            return members
        if first == "[":
            items = self.value()
            if self.take() != "]":
                raise ValueError("an array of more than one kind")
            return [items]
        return first.rstrip(" ,")


class Shapes:
    """Objects, each stored once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, value: Any) -> Any:
        """Replace objects by their number, from the inside out."""
        if isinstance(value, list):
            return [self.number(value[0])]
        if isinstance(value, dict):
            text = json.dumps({name: self.number(member) for name, member in value.items()}, sort_keys=True)
            return self.known.setdefault(text, len(self.known))
        return value


def operation(lines: list[str], shapes: Shapes) -> dict[str, Any]:
    """The digest of one operation."""
    found: dict[str, Any] = {"responses": {}}
    for at, line in enumerate(lines):
        if request := _REQUEST.match(line):
            parameters = _Lines(lines[at + 1 :]).value()
            bodies = [value for value in parameters.values() if isinstance(value, dict | list)]
            found["verb"], found["path"] = request.groups()
            found["parameters"] = {name: kind for name, kind in parameters.items() if isinstance(kind, str)}
            found["body"] = shapes.number(bodies[0]) if bodies else None
        elif (response := re.match(r"^⚐ Response \((\d+)\)$", line)) is not None:
            content = _Lines(lines[at + 1 :])
            answer = content.value() if content.peek() == "{" else {}
            # An answer without a body is written as its headers alone.
            found["responses"][response[1]] = {
                "headers": sorted(answer.get("$headers", answer)),
                "schema": shapes.number(answer.get("$schema")),
            }
    return found


def digest(text: str) -> dict[str, Any]:
    """The digest of the whole description."""
    lines = text.splitlines()
    titles = [(at, match[1]) for at, line in enumerate(lines) if (match := _TITLE.match(line))]
    ends = [at for at, _ in titles[1:]] + [len(lines)]
    shapes = Shapes()
    operations = {name: operation(lines[at:end], shapes) for (at, name), end in zip(titles, ends, strict=True)}
    return {"shapes": [json.loads(text) for text in shapes.known], "operations": operations}


def main() -> None:
    """Read the description named on the command line, write the digest to stdout."""
    result = digest(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = [f"  {json.dumps(shape, sort_keys=True)}" for shape in result["shapes"]]
    operations = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in result["operations"].items()]
    sys.stdout.write(
        '{"shapes": [\n' + ",\n".join(rows) + '\n],\n"operations": {\n' + ",\n".join(operations) + "\n}}\n"
    )


if __name__ == "__main__":
    main()
