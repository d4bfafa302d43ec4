"""`python -m azure_batch_kubectl`, and the console script `kubectl-azure_batch`, by which kubectl finds the plugin."""

from __future__ import annotations

import logging
import sys

COMPLETE = "_KUBECTL_AZURE_BATCH_COMPLETE"
"""By which a shell asks the program itself for completion; click would make a name with a space."""


def main() -> None:
    """Run the program; says what to install where the extra is missing."""
    # What libraries log is not for the user: the one line of an error says it.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        from azure_batch_kubectl.cli import plugin

        plugin(prog_name="kubectl azure-batch", complete_var=COMPLETE)
    except KeyboardInterrupt:
        # While the commands themselves were loaded.
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        sys.exit("error: the Python package 'rich' is missing: install azure-batch-operator[kubectl]")


if __name__ == "__main__":
    main()
