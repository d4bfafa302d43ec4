"""Runs a program that the kernel kills when the one who started it is gone.

Executed as a script by `processes`, between the fork and the real program: `owned.py <pid of the owner> <program> …`.
A step of its own and not a `preexec_fn`, which may not be used in a process with threads. Where there is no prctl (not
Linux) the program just runs, and only an orderly end of its owner stops it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGKILL on the death of the parent, then become the program."""
    owner, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:  # it died before we asked
            sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - the program is the caller's


if __name__ == "__main__":
    main()
