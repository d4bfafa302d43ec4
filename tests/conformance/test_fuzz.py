"""A small random run over all operations; `make fuzz` makes the large one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from azure_batch_emulator import EmulatorConfig
from support.emulator_thread import EmulatorThread
from support.fuzzing import OPERATIONS, Fuzzer


@pytest.mark.usefixtures("no_traceback")
@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls(seed: int, tmp_path: Path) -> None:
    """No 5xx, no traceback, always the service's error; and what has been stored is served, saved and read again."""
    state = tmp_path / "state.json"
    config = EmulatorConfig(port=0, executor="simulated", time_scale=1000.0, seed=seed, state_file=state)
    with EmulatorThread(config) as emulator:
        fuzzer = Fuzzer(emulator.endpoint, config.account, config.key, seed)
        try:
            for number in range(1000):
                if number % 250 == 0:
                    fuzzer.prepare()
                fuzzer.step()
            fuzzer.look()
        finally:
            fuzzer.close()
        emulator.admin("POST", "save")
        counts = emulator.admin("GET", "state")
    assert fuzzer.problems == []
    assert len(OPERATIONS.keys() & fuzzer.called.keys()) == 77
    assert {200, 201, 202, 400, 404, 409} <= fuzzer.statuses.keys()
    assert json.loads(state.read_bytes())
    with EmulatorThread(config) as again:
        assert again.admin("GET", "state")["jobs"] == counts["jobs"]


@pytest.mark.parametrize(
    ("code", "problems", "allowed"),
    [
        ("TooManyEnableAutoScaleRequests", 0, {"503 TooManyEnableAutoScaleRequests": 1}),
        ("ServerBusy", 1, {}),
    ],
)
def test_a_5xx_is_wrong_unless_the_service_returns_it_too(code: str, problems: int, allowed: dict[str, int]) -> None:
    fuzzer = Fuzzer("http://127.0.0.1:1", "account", "", 1)
    error = {"odata.metadata": "m", "code": code, "message": {"lang": "en-US", "value": "text"}}
    headers = {"request-id": "1", "dataserviceversion": "3.0", "content-type": "application/json"}
    fuzzer.check("POST /pools/p/enableautoscale", 503, headers, json.dumps(error).encode(), "POST")
    assert (len(fuzzer.problems), dict(fuzzer.allowed_5xx)) == (problems, allowed)
