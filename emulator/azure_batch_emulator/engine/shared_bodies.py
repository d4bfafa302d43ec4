"""Equal bodies kept once: a job of a million tasks seldom has more than a few different ones.

Accepted bodies are replaced and never changed in place, so tasks may share them. Sits below `engine.tasks`.
"""

from __future__ import annotations

from typing import Any

import orjson

# Beyond either the book costs more than it saves; it then begins again, and what is shared stays shared.
_MAX_ENTRIES = 1024
_LONGEST_KEY = 4096


class SharedBodies:
    """Finds the body, or the text, that is equal to a given one and was given lately."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, dict[str, Any]] = {}
        self._texts: dict[str, str] = {}

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """An equal JSON object, perhaps another one. Nobody may change it."""
        key = orjson.dumps(body)
        if len(key) > _LONGEST_KEY:
            return body
        if len(self._bodies) >= _MAX_ENTRIES:
            self._bodies.clear()
        return self._bodies.setdefault(key, body)

    def text(self, text: str) -> str:
        """An equal string, perhaps another one."""
        if len(text) > _LONGEST_KEY:
            return text
        if len(self._texts) >= _MAX_ENTRIES:
            self._texts.clear()
        return self._texts.setdefault(text, text)


def folded(id: str) -> str:
    """An id without regard to case: the very same string where it is in lower case already."""
    lower = id.lower()
    return id if lower == id else lower
