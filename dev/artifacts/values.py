"""The values of the Helm chart as one model: values.yaml, values.schema.json and docs/helm-values.md are written from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Mapping = dict[str, Any]
Items = list[Mapping]


class Values(BaseModel):
    """Base of all sections: an unknown key is a typing error, and Helm says so."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


def doc(description: str, default: Any = None, **rules: Any) -> Any:
    """A value with its default and what it does."""
    if isinstance(default, dict | list) or (isinstance(default, type) and issubclass(default, Values)):
        made = default if isinstance(default, type) else (lambda: default)
        return Field(default_factory=made, description=description, **rules)
    return Field(default=default, description=description, **rules)


class Image(Values):
    """Which image runs."""

    registry: str = doc(
        "Host of the registry that you push the image to, with a port if it has one; may hold a path, too. The node's default "
        "registry, or images that are on the node already, if empty.",
        "",
        pattern=r"^([^/\s]+(/[^/\s]+)*)?$",
    )
    repository: str = doc("Its name there.", "azure-batch-operator", min_length=1)
    tag: str = doc("Its tag; the chart's appVersion if empty.", "")
    digest: str = doc("Its digest, sha256:…; stronger than the tag.", "", pattern="^(sha256:[0-9a-f]{64})?$")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = doc("When it is pulled.", "IfNotPresent")


class CustomResources(Values):
    """The CustomResourceDefinitions."""

    install: bool = doc("Whether the chart brings them. Off if a platform team applies crds/ itself.", True)
    keep: bool = doc(
        "Whether they stay when the release is uninstalled. With them would go every BatchPool and BatchJob, and with "
        "these, unless a policy says otherwise, what they stand for in Azure.",
        True,
    )


class Rbac(Values):
    """Rights of the operator."""

    create: bool = doc("Whether the chart creates roles and bindings.", True)


class UserRoles(Values):
    """Rights of people."""

    create: bool = doc(
        "Whether the chart creates ClusterRoles that add the kinds to the roles view, edit and admin of the cluster. Switch it off "
        "if who installs may not create cluster roles.",
        True,
    )


class AdmissionPolicy(Values):
    """What the API server denies the operator beyond what roles can say."""

    create: bool = doc(
        "Whether the chart creates it. Without it, the right to patch an object, which finalizers need, covers its spec, "
        "and the operator gets no right to keep the Secrets of accounts whose namespace is deleted. "
        "Like the CRDs it belongs to no namespace: switch it off if who installs may not create it.",
        True,
    )


class ServiceAccount(Values):
    """The ServiceAccount that the operator runs as."""

    create: bool = doc("Whether the chart creates it.", True)
    name: str = doc("Its name; that of the release if empty.", "")
    annotations: dict[str, str] = doc("Annotations of it.", {})


class LeaderElection(Values):
    """Who of several replicas acts."""

    enabled: bool = doc("Take the Lease also with one replica. With more than one it is always taken.", False)


class WorkloadIdentity(Values):
    """Signing in to Azure as the operator itself, by Azure Workload Identity."""

    enabled: bool = doc("Label the pod and annotate the ServiceAccount for the workload-identity webhook.", False)
    client_id: str = doc("Client id of the application or managed identity.", "")
    tenant_id: str = doc("Tenant id, if it is not the webhook's default.", "")
    namespaces: list[str] = doc(
        "Namespaces whose BatchAccounts may sign in as the operator; * for all. None by default: whoever may create a "
        "BatchAccount there acts with the operator's rights in Azure.",
        [],
    )


class NamespaceIdentities(Values):
    """Signing in to Azure as a ServiceAccount of the BatchAccount's own namespace."""

    enabled: bool = doc(
        "Allow the operator to make tokens of ServiceAccounts named azure-batch, and of no others.", False
    )


class PodDisruptionBudget(Values):
    """Protection from voluntary evictions."""

    enabled: bool = doc("Whether there is one.", False)
    max_unavailable: int | str = doc("It never blocks the drain of a node: at most this many pods may be away.", 1)


class NetworkPolicy(Values):
    """What may talk to the operator, and to whom it may talk."""

    enabled: bool = doc("Whether there is one.", False)
    egress_ports: list[Annotated[int, Field(ge=1, le=65535)]] = doc(
        "Ports it may reach: Azure, Entra ID and the API server.", [443, 6443]
    )
    ingress_from: Items = doc("Who may scrape metrics (NetworkPolicyPeer); everybody in the cluster if empty.", [])
    extra_egress: Items = doc("Further egress rules, for example to the emulator.", [])


class Service(Values):
    """The Service in front of probes and metrics."""

    annotations: dict[str, str] = doc("Annotations of it.", {})


class Monitor(Values):
    """A ServiceMonitor or PodMonitor of the Prometheus operator."""

    enabled: bool = doc("Whether there is one.", False)
    labels: dict[str, str] = doc("Labels by which a Prometheus selects it.", {})
    interval: str = doc("How often metrics are scraped.", "30s", pattern="^([0-9]+(ms|s|m|h))+$")


class PrometheusRule(Values):
    """Alerts."""

    enabled: bool = doc("Whether there is a PrometheusRule.", False)
    labels: dict[str, str] = doc("Labels by which a Prometheus selects it.", {})
    docs_url: str = doc(
        "Where you publish the documentation, such as https://docs.example.com/azure-batch-operator, for the runbook_url of "
        "alerts. Alerts have no runbook_url if empty.",
        "",
        pattern="^(https?://\\S+)?$",
    )


class Dashboards(Values):
    """Dashboards of Grafana."""

    enabled: bool = doc("Whether there are ConfigMaps with them.", False)
    labels: dict[str, str] = doc("Labels by which Grafana's sidecar finds them.", {"grafana_dashboard": "1"})
    annotations: dict[str, str] = doc("Annotations of them, for example the folder.", {})


def _probe(path: str, period: int, failures: int) -> Mapping:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "failureThreshold": failures}


class ChartValues(Values):
    """All values of the chart azure-batch-operator."""

    replica_count: int = doc(
        "Pods. One is enough: a restart loses nothing and takes seconds. With two, one acts and the other stands by.",
        1, ge=0, le=5,
    )  # fmt: skip
    image: Image = doc("The image.", Image)
    image_pull_secrets: Items = doc("Secrets to pull it with.", [])
    name_override: str = doc("Instead of the chart's name.", "")
    fullname_override: str = doc("Instead of the names made from release and chart.", "")
    watch_namespaces: list[Annotated[str, Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]] = doc(
        "Namespaces to serve, all if empty. Given some, the operator gets a Role in each of them and no right on "
        "objects anywhere else.",
        [],
    )
    config: Mapping = doc(
        "Settings of the operator, by their names in docs/configuration.md in camelCase: {pollSeconds: 5, "
        "allowedHosts: [.batch.example]}",
        {"logFormat": "json"},
    )
    crds: CustomResources = doc("The CustomResourceDefinitions.", CustomResources)
    rbac: Rbac = doc("The rights of the operator.", Rbac)
    user_roles: UserRoles = doc("The rights of people.", UserRoles)
    admission_policy: AdmissionPolicy = doc(
        "A ValidatingAdmissionPolicy by which the operator can change nothing of an object but its finalizer and status.",
        AdmissionPolicy,
    )
    service_account: ServiceAccount = doc("The ServiceAccount of the operator.", ServiceAccount)
    leader_election: LeaderElection = doc("Which of several replicas acts.", LeaderElection)
    workload_identity: WorkloadIdentity = doc("Signing in to Azure as the operator itself.", WorkloadIdentity)
    namespace_identities: NamespaceIdentities = doc(
        "Signing in as the namespaces' own identities.", NamespaceIdentities
    )
    resources: Mapping = doc(
        "Requests and limits. 10,000 objects take about 150 MiB.",
        {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    )
    liveness_probe: Mapping = doc(
        "Fails when a loop of the operator is stuck, not when Azure is down.", _probe("/healthz", 20, 3)
    )
    readiness_probe: Mapping = doc(
        "Succeeds when everything is listed once, or another replica acts.", _probe("/readyz", 5, 3)
    )
    pod_disruption_budget: PodDisruptionBudget = doc("Protection from voluntary evictions.", PodDisruptionBudget)
    network_policy: NetworkPolicy = doc("Who may talk to whom.", NetworkPolicy)
    service: Service = doc("The Service in front of probes and metrics.", Service)
    service_monitor: Monitor = doc("A ServiceMonitor of the Prometheus operator.", Monitor)
    pod_monitor: Monitor = doc("A PodMonitor of the Prometheus operator, instead.", Monitor)
    prometheus_rule: PrometheusRule = doc("Alerts for the Prometheus operator.", PrometheusRule)
    dashboards: Dashboards = doc("Dashboards for Grafana.", Dashboards)
    pod_labels: dict[str, str] = doc("Further labels of the pod.", {})
    pod_annotations: dict[str, str] = doc("Annotations of the pod.", {})
    pod_security_context: Mapping = doc(
        "Of the pod. As it is, it satisfies the Pod Security Standard restricted.",
        {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    )
    security_context: Mapping = doc(
        "Of the container.",
        {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    )
    priority_class_name: str = doc("PriorityClass of the pod.", "")
    termination_grace_period_seconds: int = doc("Time to finish writes at the end.", 60, ge=20)
    node_selector: dict[str, str] = doc("Where the pod may run.", {})
    tolerations: Items = doc("Taints it tolerates.", [])
    affinity: Mapping = doc("Affinity of the pod.", {})
    topology_spread_constraints: Items = doc("How replicas are spread.", [])
    extra_args: list[str] = doc("Further arguments of `azure-batch-operator run`.", [])
    extra_env: Items = doc("Further variables, for example HTTPS_PROXY or OTEL_EXPORTER_OTLP_ENDPOINT.", [])
    extra_env_from: Items = doc("ConfigMaps or Secrets as variables.", [])
    extra_volumes: Items = doc("Further volumes, for example a bundle of certificate authorities.", [])
    extra_volume_mounts: Items = doc("Where they are mounted.", [])
    global_: Mapping = Field(default_factory=dict, alias="global", description="Helm's own: values of a parent chart.")
