"""The base of all operation groups."""

from azure_batch_operator.batch.caller import Caller
from azure_batch_operator.batch.responses import JsonObject

# `list` is also the name of a method in most groups, so the type has a name of its own.
JsonObjects = list[JsonObject]


class Group:
    """A group of operations on one kind of thing."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
