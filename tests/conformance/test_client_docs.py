"""The first program in docs/client.md runs as it stands, and its examples of lists and models inside one, against an emulator."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from support.emulator_thread import EmulatorThread

DOCS = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


def test_the_first_program_prints_what_the_task_printed(emulator: EmulatorThread) -> None:
    program = BLOCKS[0].replace("http://127.0.0.1:10100", emulator.endpoint)
    assert emulator.config.key in program
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("hello", "", 0)


AROUND = """
import asyncio
from azure_batch_operator.batch import BatchClient, SharedKey

async def main():
    async with BatchClient({endpoint!r}, SharedKey({account!r}, {key!r})) as client:
        await client.jobs.create({{"id": "render", "poolInfo": {{"poolId": "elsewhere"}}}})
        await client.tasks.create("render", {{"id": "frame-1", "commandLine": "true"}})
{example}

asyncio.run(main())
"""
"""Where the examples are that use a `client`, about a job named render."""


@pytest.mark.parametrize(
    ("word", "printed"),
    [("client.tasks.list_pages", ""), ("PoolCreate(", "frame-1 active"), (".of(", "frame-1 active")],
    ids=["lists", "models", "structs"],
)
def test_the_examples_of_lists_and_models_run(emulator: EmulatorThread, word: str, printed: str) -> None:
    [block] = [block for block in BLOCKS if word in block]
    config, example = emulator.config, indent(block, " " * 8)
    program = AROUND.format(endpoint=emulator.endpoint, account=config.account, key=config.key, example=example)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (printed, "", 0)


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_the_other_examples_are_python(block: str) -> None:
    ast.parse(f"async def example():\n{re.sub('^', '    ', block, flags=re.MULTILINE)}")
