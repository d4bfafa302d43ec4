"""Shows on a terminal or in a CI log that a step of minutes lives, and how far it is.

`progress_line` decides what is said; `Progress` says it: one line that is written over on a terminal, otherwise a new
line every quarter of a minute.
"""

import shutil
import sys
import time
from typing import TextIO

INTERVAL = 15.0
"""Seconds between lines where the output is no terminal."""


def elapsed(seconds: float) -> str:
    """A duration as people say it: `7 s`, `3 min 05 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def progress_line(what: str, done: int, total: int | None, seconds: float, current: str = "") -> str:
    """One line of progress: what is being done, how far it is, for how long, and with what at the moment.

    `total` is None while it is not known; `done` is then shown as a bare count, and left out if it is 0. More done than
    expected is shown as 100 %, never above.
    """
    if total:
        shown = min(done, total)
        how_far = f" {shown * 100 // total:3d} % ({shown}/{total})"
    else:
        how_far = f" {done}" if done else ""
    return f"{what}:{how_far}  {elapsed(seconds)}{'  ' + current if current else ''}"


class Progress:
    """The progress of one step, written to `stream` (standard error by default)."""

    def __init__(self, what: str, *, total: int | None = None, stream: TextIO | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._started = time.monotonic()
        self._last = self._started
        self._current = ""

    @property
    def seconds(self) -> float:
        """Seconds since this step began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._stream.write(("\r\x1b[K" if self._tty else "") + text + "\n")
        self._stream.flush()

    def update(self, current: str | None = None) -> None:
        """Show where the step is, and on a terminal with what; cheap enough to call for every package.

        Without `current`, as from a clock, it is still busy with the same.
        """
        self._current = self._current if current is None else current
        now = time.monotonic()
        if now - self._last < (0.1 if self._tty else INTERVAL):
            return
        self._last = now
        line = progress_line(self.what, self.done, self.total, self.seconds, self._current if self._tty else "")
        if self._tty:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be written over
            self._stream.write(f"\r{line[:width]}\x1b[K")
            self._stream.flush()
        else:
            self.say(line)

    def finish(self, text: str) -> None:
        """End the step with a line that stays, with the time it took."""
        self.say(f"{text} ({elapsed(self.seconds)})")
