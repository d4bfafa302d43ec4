"""`kubectl_complete-azure_batch`, by which kubectl completes the words of the plugin in a shell.

kubectl calls it with the words after `kubectl azure-batch`, the unfinished one last. It expects a proposal a line, a tab before its
description, and a last line that says whether the shell may propose files instead. Only names of objects are asked of the cluster
(`proposals`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from click.shell_completion import CompletionItem, ShellComplete

from azure_batch_kubectl.cli import plugin

_FILES, _NO_FILES, _GOES_ON = ":0", ":4", ":6"
"""Directives of kubectl's own completion (cobra): propose files where there is nothing else; do not; and put no space after it."""


def lines(words: Sequence[str]) -> list[str]:
    """What kubectl is told."""
    *before, last = words or [""]
    found = ShellComplete(plugin, {}, "kubectl azure-batch", "").get_completions(before, last)
    proposals = [_line(each) for each in found if each.type == "plain"]
    if found and all(str(each.value).endswith("/") for each in found):
        return [*proposals, _GOES_ON]
    return [*proposals, _FILES if len(proposals) < len(found) else _NO_FILES]


def _line(item: CompletionItem) -> str:
    return f"{item.value}\t{item.help}" if item.help else str(item.value)


def main() -> None:
    """Run the program."""
    sys.stdout.write("\n".join(lines(sys.argv[1:])) + "\n")


if __name__ == "__main__":
    main()
