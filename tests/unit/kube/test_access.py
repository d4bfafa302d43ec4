"""When a watched namespace that was denied is looked at again."""

from __future__ import annotations

import pytest

from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import KubeError

FORBIDDEN = KubeError("batchpools.azurebatch.io is forbidden", 403)


def looks(access: Access, times: int) -> list[int]:
    """At which permitted requests for the namespace its objects are to be listed; the list is refused each time."""
    found = []
    for number in range(1, times + 1):
        access.answered("team")
        if access.returned.is_set():
            access.returned.clear()
            found.append(number)
            access.refuses("team", FORBIDDEN)
    return found


def test_a_namespace_whose_list_was_refused_for_a_moment_is_listed_again_soon() -> None:
    access = Access(["default", "team"])
    access.answered("team")
    assert not access.returned.is_set(), "it was never denied"
    access.refuses("team", FORBIDDEN)
    access.answered("team")
    assert access.returned.is_set()


def test_lists_that_are_refused_again_and_again_become_rarer() -> None:
    """Each list reads all objects of all namespaces."""
    access = Access(["default", "team"])
    access.refuses("team", FORBIDDEN)
    assert looks(access, 100) == [1, 2, 4, 8, 16, 32, 64]
    access.unanswered("team", FORBIDDEN)
    assert looks(access, 3) == [1, 2], "a Role that is created again is noticed at once"


def test_only_objects_of_a_namespace_that_was_never_listed_are_unseen() -> None:
    access = Access(["default", "team"])
    access.refuses("team", FORBIDDEN)
    assert set(access.unseen) == set(access.denied) == {"team"}
    access.admit("team")
    assert not access.denied
    access.refuses("team", FORBIDDEN)
    assert set(access.denied) == {"team"}
    assert not access.unseen


@pytest.mark.parametrize(
    ("watched", "namespace"), [((), None), ((), "team"), (("default",), "team"), (("default",), None)]
)
def test_only_a_watched_namespace_is_set_aside(watched: tuple[str, ...], namespace: str | None) -> None:
    """Without watchNamespaces, a 403 concerns everything, so it ends the start."""
    access = Access(watched)
    assert not access.refuses(namespace, FORBIDDEN)
    assert not access.denied


def test_only_a_403_sets_a_namespace_aside() -> None:
    access = Access(["team"])
    assert not access.refuses("team", KubeError("restarting", 503))
    assert access.reads("team")


def test_the_operator_is_not_ready_only_if_it_can_read_no_namespace_at_all() -> None:
    access = Access(["default", "team", "team"])
    assert access.problem() is None
    access.refuses("team", FORBIDDEN)
    assert access.problem() is None
    access.refuses("default", FORBIDDEN)
    problem = access.problem()
    assert problem is not None
    assert "default" in problem
    assert "team" in problem
    access.admit("team")
    assert access.problem() is None
    assert Access().problem() is None
