"""For tests on the quick stage: each has a loop with virtual time and a small world of its own."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from support.stage import Options, Stage
from support.stage.clock import StageLoop

_MAX_BYTES = 3 << 30


def pytest_configure() -> None:
    """Bound the memory: a test of what would take all of it must not take the machine along."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_BYTES, hard))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], StageLoop]]:
    """Virtual time for all tests here."""
    del config, item
    return {"virtual": StageLoop}


@pytest.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage on which the operator runs; `@pytest.mark.parametrize("stage", [Options(…)], indirect=True)` for another one."""
    options = getattr(request, "param", Options())
    async with Stage(options) as made:
        made.start()
        yield made
        made.check()
