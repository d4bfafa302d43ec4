"""The program in docs/client.md runs as it stands, against an emulator elsewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.emulator_thread import EmulatorThread

DOCS = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


def test_the_first_program_prints_what_the_task_printed(emulator: EmulatorThread) -> None:
    program = BLOCKS[0].replace("http://127.0.0.1:10100", emulator.endpoint)
    assert emulator.config.key in program
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("hello", "", 0)


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_the_other_examples_are_python(block: str) -> None:
    ast.parse(f"async def example():\n{re.sub('^', '    ', block, flags=re.MULTILINE)}")
