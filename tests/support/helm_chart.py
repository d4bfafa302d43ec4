"""The Helm chart of this repository and what it renders."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from localcluster import LocalCluster
from stage import REPOSITORY

CHART = REPOSITORY / "helm" / "azure-batch-operator"
NAME = "azure-batch-operator"
ALL_ON = {
    "replicaCount": 2,
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
    "namespaceIdentities": {"enabled": True},
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all-on": ALL_ON,
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "namespaced-all-on": {**ALL_ON, "watchNamespaces": ["team-a"], "config": {"clusterId": "here", "pollSeconds": 2}},
    "service-monitor": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "1m"}},
    "workload-identity": {
        "workloadIdentity": {"enabled": True, "clientId": "c", "tenantId": "t", "namespaces": ["team-a"]}
    },
    "no-policy": {"admissionPolicy": {"create": False}},
    "own-account": {"serviceAccount": {"create": False, "name": "mine"}, "rbac": {"create": False}},
    "shards": {"replicaCount": 3, "config": {"shards": 6, "leaseName": "batch"}},
    "names": {
        "fullnameOverride": "batch",
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "x"}],
    },
    "pod": {
        "priorityClassName": "system-cluster-critical",
        "podLabels": {"team": "hpc"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "extraArgs": ["--log-level=DEBUG"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    },
    "network": {
        "networkPolicy": {
            "enabled": True,
            "ingressFrom": [{"namespaceSelector": {}}],
            "extraEgress": [{"ports": [{"port": 10100, "protocol": "TCP"}]}],
        }
    },
}


def template(cluster: LocalCluster, values: dict[str, Any], namespace: str = NAME) -> list[dict[str, Any]]:
    """What the chart renders, hooks included."""
    text = cluster.helm("template", NAME, str(CHART), "-n", namespace, "-f", "-", input=json.dumps(values)).stdout
    return documents(text)


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def only(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def page_values(page: str, after: str) -> dict[str, Any]:
    """The values that a page of docs/ shows first after a text."""
    text = (REPOSITORY / "docs" / page).read_text().partition(after)[2]
    found = re.search(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} shows no values after {after!r}"
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values
