"""Who owns a resource in Azure Batch: random markers, copies, ids in other letters, restored backups; and who may read markers."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import azure_batch_operator
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Owner as Controller
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.ownership import (
    Owned,
    Owner,
    claimed,
    conflict_message,
    foreign_owner,
    has_id,
    marker,
    owns,
    task_with_marker,
    with_marker,
    with_same_marker,
)
from support.typed import observed
from unit.objects import CLUSTER, JOB_SPEC, POOL_SPEC, TASK_SPEC, resource

OLD = "cluster-1/default/BatchPool/one/uid-1"
NEW = f"{OLD}/one"


def pool(**options: Any) -> Resource:
    id = options.pop("id", None)
    return resource(Kind.POOL, POOL_SPEC | ({"id": id} if id else {}), **options)


def remote(id: str, text: str | None) -> dict[str, Any]:
    """A pool as a list shows it."""
    return {"id": id, "metadata": [] if text is None else [{"name": "azurebatch.io/owner", "value": text}]}


@pytest.mark.parametrize(
    ("id", "text", "expected"),
    [
        ("one", NEW, True),
        ("ONE", NEW, True),
        ("one", f"{OLD}/ONE", True),
        ("one", OLD, True),
        ("one-g3", f"{OLD}/one-g3", True),
        ("one-g3-2", f"{OLD}/one-g3-2", True),
        ("one-g3", OLD, True),
        # A copy carries the marker of the original.
        ("copy", NEW, False),
        ("copy", OLD, False),
        ("one-g3", NEW, False),
        ("one", f"{OLD}/one-g3", False),
        # Somebody has written a marker by hand for an id that the object can never have.
        ("other", f"{OLD}/other", False),
        ("one-gx", f"{OLD}/one-gx", False),
        ("xone-g3", f"{OLD}/xone-g3", False),
        # Restored from a backup, or made again: another uid. Another cluster, namespace, kind or name.
        ("one", "cluster-1/default/BatchPool/one/uid-2/one", False),
        ("one", "cluster-2/default/BatchPool/one/uid-1/one", False),
        ("one", "cluster-1/other/BatchPool/one/uid-1/one", False),
        ("one", "cluster-1/default/BatchJob/one/uid-1/one", False),
        ("one", "cluster-1/default/BatchPool/two/uid-1/one", False),
        # No marker, or none that can be read.
        ("one", None, False),
        ("one", "", False),
        ("one", "cluster-1/default/BatchPool/one", False),
        ("one", f"{NEW}/more", False),
        ("one", "/default/BatchPool/one/uid-1/one", False),
    ],
)
def test_a_resource_is_owned_by_the_object_that_its_marker_names_if_it_was_written_for_it(
    id: str, text: str | None, expected: bool
) -> None:
    assert owns(remote(id, text), pool(), CLUSTER) is expected


def test_a_metadata_item_without_a_value_is_no_marker() -> None:
    assert not owns({"id": "one", "metadata": [{"name": "azurebatch.io/owner"}]}, pool(), CLUSTER)


def test_a_task_says_who_owns_it_in_a_variable_and_the_mirror_keeps_it() -> None:
    one = resource(Kind.TASK, TASK_SPEC)
    body = task_with_marker({"id": "one"}, marker(CLUSTER, one))
    assert owns(body, one, CLUSTER)
    assert owns(observed({"id": "ONE", "owner": "cluster-1/default/BatchTask/one/uid-1/one"}), one, CLUSTER)
    assert not owns(body | {"id": "copy"}, one, CLUSTER)


def test_a_long_id_is_cut_for_its_generation() -> None:
    one = pool(id="a" * 64)
    assert has_id(one, "a" * 61 + "-g7")
    assert has_id(one, "A" * 59 + "-g7-2")
    assert not has_id(one, "a" * 60 + "-g7")


def test_a_marker_without_an_id_is_renewed_when_metadata_are_written() -> None:
    [item] = with_same_marker({}, remote("one-g3", OLD))["metadata"]
    assert item["value"] == f"{OLD}/one-g3"


def test_the_longest_marker_fits_where_markers_are_kept() -> None:
    """A namespace has at most 63 characters, a name 253, a uid 36, an id 64. The service publishes no limit of metadata."""
    longest = Owner(Owned("c" * 64, "n" * 63, "BatchJobSchedule", "x" * 253, "u" * 36), "i" * 64)
    assert len(str(longest)) == 501


def test_a_conflict_names_the_owner_and_a_copy_says_so() -> None:
    text = conflict_message("pool", pool(), remote("one", "cluster-2/default/BatchPool/x/uid-9/one"), "or wait")
    assert text == (
        "pool 'one' exists in the account and belongs to BatchPool default/x (uid uid-9) of cluster cluster-2: "
        "create this object again with another spec.id, or wait"
    )
    copy = conflict_message("pool", pool(), remote("copy", NEW), "")
    assert "is a copy: its marker was written for 'one'" in copy


def test_a_conflict_with_another_namespace_says_that_ids_are_those_of_the_account() -> None:
    theirs = remote("one", "cluster-1/team/BatchPool/one/uid-9/one")
    assert conflict_message("pool", pool(), theirs, "or wait") == (
        "pool 'one' exists in the account and belongs to BatchPool team/one (uid uid-9) of cluster cluster-1. IDs are those of the "
        "account, which all namespaces that use it share: create this object again with another spec.id, such as "
        "'default-one', or wait"
    )
    longest = pool(name="x" * 60)
    assert "such as" not in conflict_message("pool", longest, theirs, "or wait"), "it would not fit"


def test_a_conflict_of_a_scheduled_job_names_the_schedule() -> None:
    """Its BatchJob has the ID that the schedule gives."""
    child = resource(Kind.JOB, JOB_SPEC, name="nightly-29712345")
    child = replace(child, controller=Controller("BatchJobSchedule", "nightly", "uid-2"))
    theirs = remote("nightly-29712345", "cluster-1/team/BatchJob/nightly-29712345/uid-9/nightly-29712345")
    text = conflict_message("job", child, theirs, "or wait")
    assert "create BatchJobSchedule 'nightly' again with another spec.id, such as 'default-nightly', or wait" in text
    taken = replace(child, spec={**JOB_SPEC, "id": "default-nightly-29712345"})
    theirs = remote("default-nightly-29712345", "cluster-1/team/BatchJob/x/uid-9/default-nightly-29712345")
    assert "such as" not in conflict_message("job", taken, theirs, "or wait"), "it is the one that is taken"


JOB = "cluster-1/default/BatchJob/steps/uid-1/steps"
SCHEDULE = "cluster-1/default/BatchJobSchedule/nightly/uid-1/nightly"


@pytest.mark.parametrize(
    ("id", "job", "schedule", "allowed"),
    [
        ("steps", None, None, True),
        ("steps", JOB, None, True),
        ("steps", "cluster-1/default/BatchJob/steps/uid-0", None, True),
        ("copy", "cluster-1/other/BatchJob/steps/uid-1/steps", None, True),
        ("steps", "cluster-1/other/BatchJob/steps/uid-1/steps", None, False),
        ("steps", "cluster-2/default/BatchJob/steps/uid-1/steps", None, False),
        ("steps", "not a marker", None, False),
        ("nightly:job-1", None, SCHEDULE, True),
        ("nightly:job-1", None, SCHEDULE.replace("default", "other"), False),
    ],
)
def test_tasks_go_into_jobs_of_nobody_or_of_the_same_namespace(
    id: str, job: str | None, schedule: str | None, allowed: bool
) -> None:
    made_by = remote("nightly", schedule) if schedule else None
    assert (foreign_owner(remote(id, job), made_by, "default", frozenset({CLUSTER})) is None) is allowed


@pytest.mark.parametrize(("namespace", "allowed"), [("default", True), ("other", False)])
def test_namespaces_of_a_lost_cluster_are_those_of_the_one_that_takes_its_place(namespace: str, allowed: bool) -> None:
    theirs = remote("steps", f"cluster-0/{namespace}/BatchJob/steps/uid-1/steps")
    assert (foreign_owner(theirs, None, "default", frozenset({CLUSTER, "cluster-0"})) is None) is allowed


def test_a_task_of_a_batch_task_is_known_by_any_marker() -> None:
    assert claimed({"id": "a", "environmentSettings": [{"name": "AZUREBATCH_IO_OWNER", "value": "x"}]})
    assert not claimed({"id": "a", "environmentSettings": [{"name": "A", "value": "x"}]})


words = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,30}", fullmatch=True)
kinds = st.sampled_from([kind.value for kind in Kind])
owners = st.builds(Owner, st.builds(Owned, ids, words, kinds, words, words), st.just("") | ids)


@given(owners)
def test_a_marker_is_read_as_it_was_written(owner: Owner) -> None:
    assert Owner.parse(str(owner)) == owner


@given(st.text(max_size=60) | st.lists(words | kinds | ids, max_size=8).map("/".join))
def test_any_text_is_a_marker_that_is_written_in_the_same_way_or_none(text: str) -> None:
    owner = Owner.parse(text)
    assert owner is None or str(owner) == text


@given(owners, words, words, words, ids, st.booleans())
def test_no_marker_of_another_object_counts(
    owner: Owner, namespace: str, name: str, uid: str, id: str, upper: bool
) -> None:
    mine = pool(name=name, uid=uid, id=id)
    there = remote(id.upper() if upper else id, str(owner))
    same = owner.object == Owned(CLUSTER, "default", "BatchPool", name, uid)
    assert owns(there, mine, CLUSTER) is (same and owner.id.lower() in {"", id.lower()})


@given(ids, ids, st.booleans())
def test_a_copy_under_another_id_is_never_owned(id: str, copy: str, upper: bool) -> None:
    mine = pool(id=id)
    original = with_marker({"id": id}, marker(CLUSTER, mine))
    assert owns(original | {"id": id.swapcase() if upper else id}, mine, CLUSTER)
    if copy.lower() != id.lower():
        assert not owns(original | {"id": copy}, mine, CLUSTER)


# --- nobody else compares markers ---

_READERS = {"marker", "marker_of", "owner_of", "Owned", "Owner"}
_DECIDES = {"ownership.py", "adoption.py"}
_NAMES = {"OWNER_METADATA", "OWNER_VARIABLE"}


def _calls(node: ast.AST) -> set[str]:
    """Names of the functions that are called within an expression."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            function = each.func
            found.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
    return found


def offenses(source: str) -> list[int]:
    """Lines that compare what is read from, or would be written as, a marker; presence (`is None`) may be asked for."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and not all(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
            sides = [node.left, *node.comparators]
            named = any(
                (isinstance(each, ast.Name) and each.id in _NAMES)
                or (isinstance(each, ast.Attribute) and each.attr in _NAMES)
                for side in sides
                for each in ast.walk(side)
            )
            owner_of_entry = any(
                isinstance(each, ast.Constant) and each.value == "owner" for side in sides for each in ast.walk(side)
            )
            if named or owner_of_entry or any(_calls(side) & _READERS for side in sides):
                found.append(node.lineno)
    return found


def test_nothing_but_the_predicate_compares_markers() -> None:
    root = Path(azure_batch_operator.__file__).parent
    for file in sorted(root.rglob("*.py")):
        if file.name not in _DECIDES:
            assert not offenses(file.read_text()), f"{file.relative_to(root)} compares markers: call ownership.owns"


@pytest.mark.parametrize(
    "line",
    [
        "if ownership.owner_of(remote) != ownership.marker(cluster, resource): pass",
        "left = view.remote.get('owner') != owner",
        "mine = marker_of(remote) == text",
        "x = [i for i in items if i['name'] == OWNER_METADATA]",
        "found = Owner.parse(text) in known or owner_of(a) in known",
    ],
)
def test_the_lint_finds_comparisons(line: str) -> None:
    assert offenses(line)
    assert not offenses("if marker_of(task) is None: pass")


def test_only_an_adoption_asks_for_ownership_without_regard_to_lost_clusters() -> None:
    """Elsewhere, what `adoption.ours` allows counts as well: the BatchJob follows a job of a lost cluster, so its tasks do, too."""
    root = Path(azure_batch_operator.__file__).parent
    asking = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "owns" in _calls(ast.parse(file.read_text())) and file.name not in _DECIDES
    }
    assert asking == {"reconcile/reconcile_policy.py"}, "call adoption.ours"
