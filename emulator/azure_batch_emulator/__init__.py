"""An emulator of the Azure Batch data plane.

It stands on localhost where the real service would be: it verifies signatures, keeps pools, jobs and tasks in memory, and
runs the tasks as processes. Use it as a command (``azure-batch-emulator``) or embedded in a test::

    async with Emulator(EmulatorConfig(port=0, time_scale=50)) as emulator:
        print(emulator.endpoint)

Layers, from the wire inwards: ``web`` (HTTP, signatures, OData) → ``engine`` (state machines driven by a clock) →
``executors`` (what runs the commands). ``engine`` never does I/O and knows nothing of HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_batch_emulator.config import DEFAULT_ACCOUNT, DEFAULT_KEY, EmulatorConfig, Quotas

if TYPE_CHECKING:
    from azure_batch_emulator.emulator import Emulator

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_KEY", "Emulator", "EmulatorConfig", "Quotas"]


def __getattr__(name: str) -> Any:
    """The emulator is imported when it is asked for: the plugin for pytest is loaded by every test run there is."""
    if name != "Emulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from azure_batch_emulator.emulator import Emulator

    return Emulator
