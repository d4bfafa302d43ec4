"""Whether the API server takes a new object with a spec, without a stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from properties.world import name_of, subject
from support.stage import Refusal, schemas
from support.stage.apiserver import ApiServer


def refusal_of(kind: str, spec: Mapping[str, Any]) -> str:
    """Why it does not; empty if it does."""
    server = ApiServer(lambda: "2026-01-01T00:00:00Z", lambda *_: None, lambda: str(UUID(int=1)))
    plural = next(each.plural for each in schemas.definitions().values() if each.kind == kind)
    try:
        server.create(plural, "default", subject(kind, name_of(kind, 0), spec))
    except Refusal as refusal:
        return str(refusal)
    return ""
