"""A plugin for pytest: the fixture ``batch_emulator``, and the option ``--batch-emulator`` for programs that read variables.

Found by pytest through an entry point as soon as the package is installed, so it imports nothing before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azure_batch_emulator.testing import BatchEmulator


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("azure-batch-emulator")
    group.addoption(
        "--batch-emulator",
        action="store_true",
        help="start an Azure Batch emulator and set AZURE_BATCH_ACCOUNT, AZURE_BATCH_ACCESS_KEY and AZURE_BATCH_ENDPOINT",
    )
    group.addoption(
        "--batch-emulator-seed-file", metavar="FILE", help="YAML or JSON file with pools, jobs and schedules to create"
    )
    group.addoption("--batch-emulator-time-scale", type=float, default=100.0, metavar="X", help="default: 100")
    group.addoption("--batch-emulator-executor", choices=("process", "simulated"), default="process")


@pytest.fixture(scope="session")
def batch_emulator(request: pytest.FixtureRequest) -> Iterator[BatchEmulator]:
    """An emulator for the whole session, one per worker of pytest-xdist; ``batch_emulator.reset()`` empties it."""
    from azure_batch_emulator.testing import BatchEmulator

    option = request.config.getoption
    emulator = BatchEmulator(
        time_scale=option("--batch-emulator-time-scale"),
        executor=option("--batch-emulator-executor"),
        seed_file=option("--batch-emulator-seed-file"),
    )
    with emulator:
        yield emulator


@pytest.fixture(scope="session", autouse=True)
def _batch_emulator_environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``--batch-emulator``, the variables for all tests."""
    if not request.config.getoption("--batch-emulator"):
        yield
        return
    emulator: BatchEmulator = request.getfixturevalue("batch_emulator")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment.items():
            patch.setenv(name, value)
        yield
