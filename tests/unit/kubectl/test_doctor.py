"""doctor: what it makes of what it has read. Reading itself is tested on a real API server (tests/e2e/test_kubectl.py)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from azure_batch_kubectl.doctor import RIGHTS, Reach, Seen, Verdict, findings
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.crds import crd
from unit.kubectl.conftest import thing

DEFINITIONS = {info.plural: crd(info) for info in KINDS.values()}
ACCOUNT = thing("BatchAccount", "main", ("Ready", "True", "Connected", "fine"))
ACCOUNT["spec"] = {"endpoint": "https://main.x", "auth": {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}}
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"namespace": "system", "name": "operator"},
    "spec": {"template": {"spec": {"containers": [{"image": "registry.example:5000/operator:1.0"}]}}},
    "status": {"availableReplicas": 1},
}
GOOD = Seen(
    (1, 31), 2.0, frozenset(DEFINITIONS), DEFINITIONS, [DEPLOYMENT], "1.0", (), [ACCOUNT], {"k": frozenset({"key"})}
)


def told(seen: Seen) -> list[str]:
    """All that is not ok."""
    return [f"{each.verdict}: {each}" for each in findings(seen) if each.verdict is not Verdict.OK]


def test_a_good_installation_has_no_finding() -> None:
    assert told(GOOD) == []
    assert len(findings(GOOD)) == 8


def without(plural: str, name: str) -> dict[str, Any]:
    changed = deepcopy(DEFINITIONS)
    del changed[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][name]
    return changed


def with_more(plural: str) -> dict[str, Any]:
    changed = deepcopy(DEFINITIONS)
    properties = changed[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["futureField"] = {"type": "string"}
    return changed


def failing(reason: str = "KeyRefused", *, deleted: bool = False, **more: Any) -> Any:
    found: dict[str, Any] = thing(
        "BatchAccount", "main", ("Ready", "False", reason, "the value is not a key: correct it")
    )
    if deleted:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {**ACCOUNT, **found, "spec": ACCOUNT["spec"]} | more


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"kubernetes": (1, 29)},
            ["fault: the API server is Kubernetes 1.29: the operator needs 1.30 or newer: upgrade the cluster"],
        ),
        (
            {"skew": -1200.0},
            [
                ("fault: the clock of this machine is 1200 seconds behind that of the API server: correct it: Azure Batch "
                "refuses requests signed with a key if the clock is off by 15 minutes")
            ],
        ),
        (
            {"served": frozenset(DEFINITIONS) - {"batchjobs"}},
            [
                ("fault: azurebatch.io/v1alpha1 does not serve batchjobs: apply the custom resource definitions of this version: "
                "kubectl apply -k crds (docs/upgrade.md)")
            ],
        ),
        (
            {"definitions": without("batchjobs", "ttlPolicy")},
            [
                ("fault: the definition of BatchJob lacks spec.ttlPolicy: apply the custom resource definitions of this version: "
                "kubectl apply -k crds (docs/upgrade.md)")
            ],
        ),
        (
            {"definitions": with_more("batchjobs")},
            [
                ("note: the definition of BatchJob also has spec.futureField: it is newer than this plugin: install the plugin of "
                "the same version")
            ],
        ),
        ({"definitions": None}, ["note: you may not read CustomResourceDefinitions, so their version is not checked"]),
        ({"deployments": None}, ["note: you may not list Deployments of all namespaces, so the operator's is not checked"]),
        (
            {"deployments": []},
            ["note: there is no Deployment of azure-batch-operator: if it does not run elsewhere, install it (docs/install.md)"],
        ),
        (
            {"deployments": [{**DEPLOYMENT, "status": {}}]},
            [
                "fault: Deployment system/operator has no available replica: check its pods: kubectl -n system describe pods"
            ],
        ),
        (
            {"version": "2.0"},
            [
                ("note: Deployment system/operator runs registry.example:5000/operator:1.0, but this plugin has version 2.0: use "
                "the same version of both")
            ],
        ),
        (
            {"refused": [each for each in RIGHTS if each.resource == "secrets"]},
            [
                ("note: you may not get secrets here: ask for a role that allows it (docs/multi-tenancy.md); logs, files, nodes "
                "ls and import need it")
            ],
        ),
        ({"accounts": None}, ["note: you may not list BatchAccounts here, so they are not checked"]),
        (
            {"accounts": []},
            ["note: there is no BatchAccount here: create one (docs/identity.md), unless you use one of another namespace"],
        ),
        ({"accounts": [failing()]}, ["fault: BatchAccount main is not usable (KeyRefused): the value is not a key: correct it"]),
        (
            {"accounts": [thing("BatchAccount", "new")]},
            [
                ("fault: the operator has not reconciled BatchAccount new yet: check that the operator runs and watches this "
                "namespace")
            ],
        ),
        ({"secrets": {"k": None}}, ["fault: Secret k of BatchAccount main does not exist: create it with the credentials"]),
        (
            {"secrets": {"k": frozenset({"other"})}},
            ["fault: Secret k of BatchAccount main has no key 'key': correct the BatchAccount or the Secret"],
        ),
        ({"secrets": {}}, []),
        (
            {"accounts": [failing("SecretNotFound")], "secrets": {"k": None}},
            ["fault: Secret k of BatchAccount main does not exist: create it with the credentials"],
        ),
        (
            # The user may not read it.
            {"accounts": [failing("SecretNotFound")], "secrets": {}},
            ["fault: BatchAccount main is not usable (SecretNotFound): the value is not a key: correct it"],
        ),
        (
            # The operator does not run, or was faster than its first pass.
            {"accounts": [{"metadata": {"name": "new", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}]},
            [
                (
                    "note: BatchAccount new is being deleted, and the operator has not reconciled it yet: check that the operator "
                    "runs and watches this namespace"
                )
            ],
        ),
        (
            {"accounts": [failing("InUse", deleted=True)]},
            ["note: BatchAccount main is being deleted (InUse): the value is not a key: correct it"],
        ),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_remedy(change: dict[str, Any], says: list[str]) -> None:
    assert told(replace(GOOD, **change)) == says


@pytest.mark.parametrize(
    ("reached", "ready", "verdict"),
    [
        ("2026-05-01T10:00:01Z", "True", Verdict.NOTE),
        ("2026-05-01T09:59:59Z", "True", Verdict.FAULT),
        ("2026-05-01T10:00:01Z", "False", Verdict.FAULT),
        (None, "True", Verdict.FAULT),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_an_operator_that_works_elsewhere_needs_no_replica(
    told: bool, reached: str | None, ready: str, verdict: Verdict
) -> None:
    account = thing("BatchAccount", "main", ("Ready", ready, "Connected", ""), lastSuccessTime=reached)
    since = "2026-05-01T10:00:00Z"
    available = {"type": "Available", "status": "False", "lastTransitionTime": since}
    metadata = DEPLOYMENT["metadata"] | {"creationTimestamp": "2026-05-01T08:00:00Z" if told else since}
    alone = {**DEPLOYMENT, "metadata": metadata, "status": {"conditions": [available] if told else []}}
    found = findings(replace(GOOD, deployments=[alone], accounts=[account | {"spec": ACCOUNT["spec"]}]))
    (of_operator,) = [finding for finding in found if "has no available replica" in finding.text]
    assert of_operator.verdict is verdict
    if verdict is Verdict.NOTE:
        assert str(of_operator) == (
            "Deployment system/operator has no available replica: an operator works from elsewhere, because BatchAccount main was "
            "reached at 2026-05-01T10:00:01Z"
        )


OPERATOR = "Deployment system/operator"
ROLES = "apply its roles of this version (docs/install.md, Permissions of the operator)"


@pytest.mark.parametrize(
    ("reach", "says"),
    [
        (Reach(OPERATOR, "team-a", "Active", ()), []),
        (Reach(OPERATOR, "team-a", None, ()), []),
        (Reach(OPERATOR, "", "Active", ()), []),
        (
            Reach(OPERATOR, "team-a", "Active", ("list batchjobs", "patch batchjobs/status")),
            [f"fault: {OPERATOR} may not list batchjobs and patch batchjobs/status in namespace team-a: {ROLES}"],
        ),
        (
            Reach(OPERATOR, "", "Active", ("list a", "list b", "list c", "list d", "list e")),
            [f"fault: {OPERATOR} may not list a, list b, list c and 2 more rights in all namespaces: {ROLES}"],
        ),
        (
            Reach(OPERATOR, "team-d", "Terminating", ("list batchjobs",)),
            [
                (f"fault: namespace team-d is being deleted, and {OPERATOR} has no rights in it, so its objects stay: give it "
                "rights until they are deleted (docs/troubleshooting.md, A namespace stays Terminating)")
            ],
        ),
        (Reach(OPERATOR, "team-d", "Terminating", ()), []),
        (
            Reach(OPERATOR, "team-d", "", ("list batchjobs",)),
            [
                (f"fault: namespace team-d, which {OPERATOR} watches, does not exist: remove it from watchNamespaces, or create "
                "it and the operator's Role in it: docs/install.md")
            ],
        ),
    ],
)  # fmt: skip
def test_the_rights_of_the_operator_where_it_watches(reach: Reach, says: list[str]) -> None:
    assert told(replace(GOOD, reaches=[reach], namespace=reach.namespace)) == says


@pytest.mark.parametrize(
    ("watched", "says"),
    [
        (["here"], []),
        ([""], []),
        (["team-a", "here"], []),
        ([], []),
        (
            ["team-b", "team-a"],
            [
                (
                    "note: no operator watches namespace here, so objects in it are neither reconciled nor deleted: add it to "
                    "watchNamespaces, which has team-a and team-b"
                )
            ],
        ),
    ],
)
def test_a_namespace_that_no_operator_watches_is_named(watched: list[str], says: list[str]) -> None:
    reaches = [Reach(OPERATOR, namespace, "Active", ()) for namespace in watched]
    assert told(replace(GOOD, reaches=reaches, namespace="here")) == says


def of_namespace(phase: str | None, auth: dict[str, Any]) -> list[str]:
    account = thing("BatchAccount", "main", ("Ready", "True", "Connected", "fine")) | {"spec": {"auth": auth}}
    return told(replace(GOOD, accounts=[account], namespace="team-d", phase=phase))


def test_an_account_that_gets_no_more_tokens_in_a_namespace_that_is_being_deleted() -> None:
    auth = {"workloadIdentity": {"clientId": "c", "tenantId": "t", "serviceAccountRef": {"name": "azure-batch"}}}
    assert of_namespace("Terminating", auth) == [
        (
            "fault: namespace team-d is being deleted, so BatchAccount main gets no new token of ServiceAccount azure-batch: "
            "delete its pools and jobs in Azure Batch, then remove the objects "
            "(docs/troubleshooting.md, A namespace stays Terminating)"
        )
    ]
    assert of_namespace("Active", auth) == of_namespace(None, auth) == []
    assert of_namespace("Terminating", {"managedIdentity": {}}) == []
    assert of_namespace("Terminating", {"workloadIdentity": {"clientId": "c", "tenantId": "t"}}) == []


def test_rights_that_the_user_may_not_ask_about_are_no_fault() -> None:
    assert told(replace(GOOD, reaches=None)) == [
        "note: you may not create SubjectAccessReviews, so the operator's rights are not checked"
    ]


def test_a_throttled_account_is_worth_a_word() -> None:
    throttled = {**ACCOUNT, "status": {**ACCOUNT["status"], "throttling": {"until": "2026-05-01T00:00:00Z"}}}
    (said,) = told(replace(GOOD, accounts=[throttled]))
    assert said.startswith("note: BatchAccount main is throttled until 2026-05-01T00:00:00Z")


def test_every_kind_can_be_requested() -> None:
    assert {each.resource for each in RIGHTS if each.verb == "list"} == {KINDS[kind].plural for kind in Kind}
