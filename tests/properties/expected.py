"""Violations that may stand, each with the reason."""

from __future__ import annotations

import re

_SAME_AS_NOTHING = (
    "the service takes what is left out, false, zero or empty for the same, and so does the operator (decision 20)"
)
_OF_A_RESIZE = "an argument of each resize: it counts from the next one on"
_TARGET = "a target that is left out is left to whoever scales the pool: no nodes go for a missing line"
_NOT_NOTHING = (
    "autoUpgradeMinorVersion|secureBootEnabled|vTpmEnabled|enableCrossZoneUpgrade|prioritizeUnhealthyInstances|uid|gid"
)
_EMPTY = "windowsConfiguration|nodePlacementConfiguration|publicIPAddressConfiguration|windowsUserConfiguration"
_MAY_BE: tuple[tuple[str, str], ...] = (
    (
        rf"differential: /\w+ \S+/(?!\S*(?:{_NOT_NOTHING}) )\S+ is (?:there|missing): (?:|0|False|\[\]|\{{\}})$",
        _SAME_AS_NOTHING,
    ),
    (
        rf"differential: /\w+ \S+/(?:\S+/)?(?:{_EMPTY}) is (?:there|missing): \{{",
        "an empty object is nothing; its defaults are filled in only where it was sent",
    ),
    (
        r"differential: /pool own/targetNodeCommunicationMode is (?:there|missing): default",
        "default is what a pool without it has",
    ),
    (r"BatchPool spec\.resizeTimeout .*differential: /pool own/resizeTimeout", _OF_A_RESIZE),
    (r"BatchPool spec\.nodeDeallocationOption .*effect", _OF_A_RESIZE),
    (
        r"BatchPool spec\.(?:updateStrategy|startTaskUpdate|deletionPolicy|nodeRemediation).*effect",
        "the operator acts on it when its occasion comes; other tests bring that about",
    ),
    (
        r"BatchPool spec\.virtualMachineConfiguration\.nodeAgentSKUId \[unset\]",
        "a pool keeps its node agent as long as it keeps its image (pool_desired.image_of)",
    ),
    (
        r"autoScaleFormula \[wrong\] rollback: .*AutoScalingFormulaSyntaxError: the formula",
        "the formula is named in words",
    ),
    (
        r"BatchAccount spec\.auth\..*(?:effect|IdentityNotAllowed|IdentityNotConfigured|ConnectionFailed|TokenRefused)",
        "who signs in is named in words; the emulator takes one key whatever Secret it comes from, and nobody gives tokens here",
    ),
    (
        r"BatchTask spec\.multiInstanceSettings.*truthful: observedGeneration is -1",
        "a task that waits for nodes says nothing beyond Pending (decision 2)",
    ),
    (r"BatchTask spec\.tailLines .*effect", "it counts for tasks that have ended"),
    (r"BatchPool spec\.target(?:Dedicated|LowPriority)Nodes \[unset\]", _TARGET),
)
"""Pattern of the text of a violation with its case, reason."""


def reason_for(violation: str) -> str | None:
    """Why a violation may be; None if it may not."""
    return next((reason for pattern, reason in _MAY_BE if re.search(pattern, violation)), None)
