"""Which state may follow which, for every kind of resource (docs/azure-batch.md).

One table per kind; entities move only through `check`, so an illegal step is a bug that shows at once.
"""

from __future__ import annotations

from collections.abc import Mapping


class IllegalTransitionError(RuntimeError):
    """The emulator tried a step that the service's state machine does not have."""


def _table(**steps: str) -> dict[str, frozenset[str]]:
    return {state: frozenset(following.split()) for state, following in steps.items()}


POOL = _table(active="deleting", deleting="")
ALLOCATION = _table(steady="resizing", resizing="steady stopping resizing", stopping="steady resizing")
TASK = _table(
    active="preparing completed",
    preparing="running active completed",
    running="completed active",
    completed="active",
)
JOB = _table(
    active="disabling terminating deleting completed",
    disabling="disabled enabling terminating deleting",
    disabled="enabling terminating deleting",
    enabling="active terminating deleting",
    terminating="completed deleting",
    completed="deleting",
    deleting="",
)
SCHEDULE = _table(
    active="disabled terminating completed deleting",
    disabled="active terminating deleting",
    terminating="completed deleting",
    completed="deleting",
    deleting="",
)
_ANYWHERE = " leavingpool unusable unknown preempted"
NODE = _table(
    creating="starting" + _ANYWHERE,
    starting="waitingforstarttask idle running offline" + _ANYWHERE,
    waitingforstarttask="idle starttaskfailed offline rebooting" + _ANYWHERE,
    starttaskfailed="rebooting reimaging deallocating" + _ANYWHERE,
    idle="running offline rebooting reimaging deallocating upgradingos" + _ANYWHERE,
    running="idle offline rebooting reimaging deallocating upgradingos" + _ANYWHERE,
    offline="idle running rebooting reimaging deallocating" + _ANYWHERE,
    rebooting="starting" + _ANYWHERE,
    reimaging="starting" + _ANYWHERE,
    upgradingos="starting" + _ANYWHERE,
    deallocating="deallocated" + _ANYWHERE,
    deallocated="starting" + _ANYWHERE,
    unusable="rebooting reimaging starting" + _ANYWHERE,
    unknown="idle running starting" + _ANYWHERE,
    preempted="creating leavingpool",
    # A resize down that is stopped, or runs into its timeout, gives back the nodes that have not left yet.
    leavingpool="idle running offline starttaskfailed unusable unknown deallocated",
)


def check(table: Mapping[str, frozenset[str]], state: str, following: str) -> None:
    """Let a legal step pass.

    Raises:
        IllegalTransitionError: the table has no such step.
    """
    if following not in table[state]:
        raise IllegalTransitionError(f"{state} -> {following}")
