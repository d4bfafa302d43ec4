"""``python -m azure_batch_emulator``."""

from azure_batch_emulator.cli import main

main()
