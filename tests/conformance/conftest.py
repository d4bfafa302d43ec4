"""An emulator for the whole session, emptied before each test, and official clients for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import cast

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from azure_batch_emulator import EmulatorConfig
from support.async_adapter import BlockingClient
from support.emulator_thread import EmulatorThread


@pytest.fixture(scope="session")
def emulator_session() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, time_scale=200.0, seed=7)) as emulator:
        yield emulator


@pytest.fixture
def emulator(emulator_session: EmulatorThread) -> EmulatorThread:
    emulator_session.admin("POST", "reset")
    return emulator_session


@pytest.fixture
def exact_counts(emulator: EmulatorThread) -> None:
    """For tests that ask for numbers right after what changed them; counts lag otherwise, as those of the service do."""
    emulator.admin("POST", "countslag", {"seconds": 0})


@pytest.fixture(params=["sync", "async"])
def client(emulator: EmulatorThread, request: pytest.FixtureRequest) -> Iterator[BatchClient]:
    """The official client, both of its halves with the same face."""
    credential = AzureNamedKeyCredential(emulator.config.account, emulator.config.key)
    if request.param == "sync":
        with BatchClient(emulator.endpoint, credential) as client:
            yield client
    else:
        with BlockingClient(emulator.endpoint, credential) as blocking:
            yield cast("BatchClient", blocking)


@pytest.fixture
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a caller sends is never an error of the emulator: nothing of that kind may stand in its log."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
