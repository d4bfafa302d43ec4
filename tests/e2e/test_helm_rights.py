"""What a release of the Helm chart grants, to the operator and to people, as the API server says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import pool
from localcluster import LocalCluster
from stage import wait_until
from support.helm_chart import CHART, NAME, template


@pytest.mark.parametrize(
    ("role", "verb", "resource", "granted"),
    [
        ("view", "list", "batchpools", True),
        ("view", "create", "batchjobs", False),
        ("edit", "get", "batchaccounts", True),
        ("edit", "create", "batchjobs", True),
        ("edit", "deletecollection", "batchtasks", True),
        ("edit", "create", "batchpools", False),
        ("edit", "patch", "batchpools/scale", False),
        ("edit", "create", "batchaccounts", False),
        ("edit", "patch", "batchjobs/status", False),
        ("admin", "create", "batchpools", True),
        ("admin", "patch", "batchpools/scale", True),
        ("admin", "delete", "batchaccounts", True),
        ("admin", "patch", "batchpools/status", False),
    ],
)
def test_people_may_what_their_role_says(
    releases: LocalCluster, role: str, verb: str, resource: str, granted: bool
) -> None:
    releases.kubectl(
        "-n",
        "team-b",
        "create",
        "rolebinding",
        f"{role}-person",
        f"--clusterrole={role}",
        f"--user={role}-person",
        check=False,
    )
    asked = ("-n", "team-b", "auth", "can-i", verb, f"{resource}.azurebatch.io", f"--as={role}-person")
    if "/" in resource:
        name, sub = resource.split("/")
        asked = (
            "-n",
            "team-b",
            "auth",
            "can-i",
            verb,
            f"{name}.azurebatch.io",
            f"--subresource={sub}",
            f"--as={role}-person",
        )

    def answer() -> str:
        return releases.kubectl(*asked, check=False).stdout.strip()

    # The controller manager adds the rules to the aggregated roles a moment later.
    if granted:
        wait_until(lambda: answer() == "yes", f"{role} may {verb} {resource}")
    else:
        assert answer() == "no"


@pytest.fixture(scope="module")
def releases(monitored: LocalCluster) -> Iterator[LocalCluster]:
    """Two releases beside each other: one for the cluster, one for team-a."""
    off = json.dumps({"crds": {"install": False}, "replicaCount": 2})
    narrow = json.dumps({"crds": {"install": False}, "watchNamespaces": ["team-a"], "config": {"clusterId": "here"}})
    for release, values in (("wide", off), ("narrow", narrow)):
        monitored.helm(
            "install", release, str(CHART), "-n", release, "--create-namespace", "-f", "-", input=values
        )  # fmt: skip
    yield monitored
    for release in ("wide", "narrow"):
        monitored.helm("uninstall", release, "-n", release)


def may(cluster: LocalCluster, release: str, verb: str, resource: str, namespace: str | None, name: str = "") -> bool:
    """What the API server says of the operator's ServiceAccount; `namespace` None is the whole cluster."""
    plural, _, subresource = resource.partition("/")
    group_plural, _, group = plural.partition(".")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": group_plural,
        "subresource": subresource,
        "name": name,
        "namespace": namespace or "",
    }
    user = f"system:serviceaccount:{release}:{release}-azure-batch-operator"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes},
    }
    done = cluster.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))
    return bool(json.loads(done.stdout)["status"]["allowed"])


KINDS = ("batchaccounts", "batchpools", "batchjobs", "batchtasks", "batchjobschedules", "batchoperations")
# Refused to the operator of a whole cluster, and so to the one of a namespace.
NEVER = [
    ("list", "secrets", None),
    ("watch", "secrets", None),
    ("list", "secrets", "team-a"),
    ("create", "secrets", "team-a"),
    ("list", "configmaps", None),
    ("update", "batchpools.azurebatch.io", "team-a"),
    ("create", "batchtasks.azurebatch.io", "team-a"),
    ("delete", "batchpools.azurebatch.io", "team-a"),
    ("create", "pods", "team-a"),
    ("create", "serviceaccounts/token", "team-a"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io", None),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", None),
    ("create", "rolebindings.rbac.authorization.k8s.io", "team-a"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", None),
    ("impersonate", "users", None),
    ("patch", "namespaces", "team-a"),
    ("delete", "leases.coordination.k8s.io", "wide"),
    ("create", "leases.coordination.k8s.io", "team-a"),
]


@pytest.mark.parametrize(("verb", "resource", "namespace"), NEVER)
@pytest.mark.parametrize("release", ["wide", "narrow"])
def test_the_operator_has_no_unneeded_permission(
    releases: LocalCluster, release: str, verb: str, resource: str, namespace: str | None
) -> None:
    assert not may(releases, release, verb, resource, namespace)


def test_in_its_namespaces_it_may_what_it_must_and_nothing_elsewhere(releases: LocalCluster) -> None:
    for kind in KINDS:
        resource = f"{kind}.azurebatch.io"
        for verb in ("get", "list", "watch", "patch"):
            assert may(releases, "wide", verb, resource, None)
            assert may(releases, "narrow", verb, resource, "team-a")
            assert not may(releases, "narrow", verb, resource, "team-b")
            assert not may(releases, "narrow", verb, resource, None)
    for verb in ("get", "patch"):
        assert may(releases, "narrow", verb, "secrets", "team-a")
        assert not may(releases, "narrow", verb, "secrets", "team-b")
    assert may(releases, "narrow", "get", "namespaces", "team-a", "team-a")
    assert not may(releases, "narrow", "get", "namespaces", "team-b", "team-b")
    assert not may(releases, "narrow", "get", "namespaces", "kube-system", "kube-system")
    assert not may(releases, "narrow", "list", "namespaces", None)


def test_the_right_on_the_lease_follows_its_name(cluster: LocalCluster) -> None:
    def names(values: dict[str, Any]) -> list[list[str]]:
        objects = template(cluster, values | {"replicaCount": 2})
        [role] = [each for each in objects if each["metadata"]["name"].endswith("-leader") and each["kind"] == "Role"]
        return [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]

    assert names({}) == [[NAME]]
    assert names({"config": {"leaseName": "mine"}}) == [["mine"]]


def test_each_release_may_take_its_own_lease_also_with_one_replica(releases: LocalCluster) -> None:
    for release, other in (("wide", "narrow"), ("narrow", "wide")):
        assert may(releases, release, "update", "leases.coordination.k8s.io", release, NAME)
        assert not may(releases, release, "update", "leases.coordination.k8s.io", release, "another")
        assert not may(releases, release, "update", "leases.coordination.k8s.io", other, NAME)


@pytest.mark.parametrize("release", ["wide", "narrow"])
def test_each_release_has_a_policy_of_its_own(releases: LocalCluster, release: str) -> None:
    user = f"system:serviceaccount:{release}:{release}-azure-batch-operator"
    policy = f"{release}-azure-batch-operator.{release}"

    def refused(as_user: str) -> str:
        """What is said to a change of a spec."""
        patch = json.dumps({"spec": {"targetDedicatedNodes": 7}})
        arguments = ("-n", "team-a", "patch", "bp", "mine", "--type=merge", "-p", patch, "--dry-run=server")
        done = releases.kubectl(*arguments, f"--as={as_user}", check=False)
        return done.stderr if done.returncode else ""

    releases.kubectl("-n", "team-a", "apply", "-f", "-", input=json.dumps(pool("mine")))
    said = wait_until(lambda: refused(user), f"{policy} is active")
    assert f"'{policy}'" in said
    assert "may not change the spec" in said
    releases.kubectl("-n", "team-a", "delete", "bp", "mine")
