"""Which watched namespaces the operator may read: with a Role per namespace, a namespace that is deleted takes the Role with it.

The API server answers 403 for a namespace without the Role, whether or not the namespace exists. Such a namespace must not stop the
others, so it is set aside: nothing in it counts as deleted, and a resource in Azure Batch that it may own counts as unseen. It is
admitted again only after all of its objects were listed. tests/quick/test_denied_namespaces.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection

from prometheus_client import Gauge

from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.words import listed

logger = logging.getLogger(__name__)

DENIED = Gauge("azurebatch_denied_namespaces", "Watched namespaces that the operator has no permission to read")
_FORBIDDEN = 403


class Access:
    """The namespaces to watch, and those of them that are denied.

    Args:
        only: the namespaces to watch; all if empty.

    Attributes:
        returned: set when a namespace that was denied may have returned, so its objects must be listed.
        answers: whether the API server has answered the last requests for namespaces, also with 403.
    """

    def __init__(self, only: Collection[str] = ()) -> None:
        self.only = tuple(only)
        self.returned = asyncio.Event()
        self.answers = True
        self._denied: dict[str, int] = {}
        """The namespaces that are denied → how often in a row the request for the namespace itself was permitted."""
        self._listed: set[str] = set()
        self._refusals: Counter[str] = Counter()
        DENIED.set(0)

    @property
    def denied(self) -> Collection[str]:
        """The watched namespaces that cannot be read now."""
        return self._denied.keys()

    @property
    def is_waited_for(self) -> bool:
        """Whether a watch may fail because its namespace is denied. An API server that answers nobody is another cause."""
        return self.answers and bool(self._denied)

    @property
    def unseen(self) -> Collection[str]:
        """The watched namespaces of which this process has never known the objects."""
        return self._denied.keys() - self._listed

    def reads(self, namespace: str) -> bool:
        """Whether the operator knows the objects of a namespace."""
        return (not self.only or namespace in self.only) and namespace not in self._denied

    def refuses(self, namespace: str | None, error: KubeError) -> bool:
        """Take note of an error; whether it concerns only one watched namespace, so that the others can continue."""
        if error.status != _FORBIDDEN or namespace not in self.only:
            return False
        self._refusals[namespace] += 1
        if namespace not in self._denied:
            logger.warning(
                "Namespace %s is not reconciled, other namespaces are: it is in the setting namespaces (in the chart: "
                "watchNamespaces), but the operator has no permission in it: %s. If the namespace does not exist any more, remove "
                "it from the setting. Otherwise, create the operator's Role and RoleBinding in it: with Helm by watchNamespaces, "
                "with kustomize by manifests/watched-namespace. The operator tries again",
                namespace,
                error,
            )
            self._denied[namespace] = 0
            DENIED.set(len(self._denied))
        return True

    def unanswered(self, namespace: str, error: KubeError) -> bool:
        """As `refuses`, for the request for the namespace itself, which is repeated often."""
        if not self.refuses(namespace, error):
            return False
        self._denied[namespace] = 0
        return True

    def answered(self, namespace: str) -> None:
        """The request for the namespace itself is permitted.

        That its objects may be listed, too, is not certain: looks become rarer, as each lists the objects of all namespaces.
        """
        if namespace in self._denied:
            self._denied[namespace] = times = self._denied[namespace] + 1
            if times & (times - 1) == 0:
                self.returned.set()

    def refusals(self, namespace: str) -> int:
        """How many requests in a watched namespace were refused: whether it was denied since is seen by that."""
        return self._refusals[namespace]

    def admit(self, namespace: str) -> bool:
        """All objects of a watched namespace were listed; whether it was denied before."""
        self._listed.add(namespace)
        if self._denied.pop(namespace, None) is None:
            return False
        DENIED.set(len(self._denied))
        logger.info("Namespace %s is reconciled: the operator has permission in it again", namespace)
        return True

    def problem(self) -> str | None:
        """Why nothing at all can be reconciled; None if something can."""
        if not self.only or len(self._denied) < len(set(self.only)):
            return None
        return f"the operator has no permission in any of the namespaces to watch: {listed(sorted(self._denied))}"
