"""An emulator of the Azure Batch data plane, api-version 2024-07-01.20.0.

It stands on localhost where the real service would be: it verifies signatures, keeps pools, jobs and tasks in memory, and
runs the tasks as processes. Use it as a command (``azure-batch-emulator``) or embedded in a test::

    async with Emulator(EmulatorConfig(port=0, time_scale=50)) as emulator:
        print(emulator.endpoint)

Layers, from the wire inwards: ``web`` (HTTP, signatures, OData) → ``engine`` (state machines driven by a clock) →
``executors`` (what runs the commands). ``engine`` never does I/O and knows nothing of HTTP.
"""

from azure_batch_emulator.config import DEFAULT_ACCOUNT, DEFAULT_KEY, EmulatorConfig, Quotas
from azure_batch_emulator.emulator import Emulator

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_KEY", "Emulator", "EmulatorConfig", "Quotas"]
