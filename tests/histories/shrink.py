"""Makes a history that breaks a rule smaller, by delta debugging over its steps (Zeller's ddmin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from histories.history import History, Step


def shrink(history: History, fails: Callable[[History], bool], most: int = 400) -> History:
    """The smallest history found that still fails.

    Args:
        fails: whether a history still shows what is looked for.
        most: how many histories are tried at most.
    """
    tries = 0

    def still(steps: Sequence[Step]) -> bool:
        nonlocal tries
        tries += 1
        return tries <= most and fails(history.having(steps))

    steps = list(history.steps)
    parts = 2
    while len(steps) >= 2:
        size = max(1, len(steps) // parts)
        chunks = [steps[at : at + size] for at in range(0, len(steps), size)]
        smaller = None
        for index in reversed(range(len(chunks))):
            # What happened late matters least, so it goes first.
            rest = [each for number, chunk in enumerate(chunks) if number != index for each in chunk]
            if still(rest):
                smaller = rest
                break
        if smaller is not None:
            steps, parts = smaller, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(len(steps), parts * 2)
    return history.having(steps)
