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
        "Registry of the image, with an optional port and path. If empty, nodes use their default registry or an "
        "image that they already have.",
        "",
        pattern=r"^([^/\s]+(/[^/\s]+)*)?$",
    )
    repository: str = doc("Repository of the image.", "azure-batch-operator", min_length=1)
    tag: str = doc("Tag of the image. Defaults to the chart's appVersion.", "")
    digest: str = doc(
        "Digest of the image, sha256:…. Takes precedence over the tag.", "", pattern="^(sha256:[0-9a-f]{64})?$"
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = doc("Pull policy of the image.", "IfNotPresent")


class CustomResources(Values):
    """The CustomResourceDefinitions."""

    install: bool = doc(
        "Whether the chart installs the CRDs. Set it to false if a platform team applies crds/ separately.", True
    )
    keep: bool = doc(
        "Whether to keep the CRDs when the release is uninstalled. Deleting the CRDs deletes all BatchPools, "
        "BatchJobs and other objects and, unless a policy prevents it, their resources in Azure.",
        True,
    )


class Rbac(Values):
    """Rights of the operator."""

    create: bool = doc("Whether the chart creates roles and role bindings.", True)


class UserRoles(Values):
    """Rights of people."""

    create: bool = doc(
        "Whether the chart creates ClusterRoles that aggregate to view, edit and admin. Set it to false if the "
        "installing user may not create ClusterRoles.",
        True,
    )


class AdmissionPolicy(Values):
    """What the API server denies the operator beyond what roles can say."""

    create: bool = doc(
        "Whether the chart creates the policy. Without it, the operator's permission to patch objects, which "
        "finalizers require, also covers their specs, and the operator gets no permission to protect the Secrets "
        "of accounts in deleted namespaces. The policy is cluster-scoped: set it to false if the installing user "
        "may not create it.",
        True,
    )
    finalizer_at_creation: bool = doc(
        "Whether the chart also creates a MutatingAdmissionPolicy by which BatchTasks are created with the operator's finalizer. "
        "It saves one write per BatchTask, which otherwise also proves that the BatchTask still exists. The chart omits the policy "
        "if the API server does not serve the kind in version v1 (before Kubernetes 1.36), if replicaCount is 0, or if "
        "config.reconcilePolicy is skip.",
        False,
    )


class ServiceAccount(Values):
    """The ServiceAccount that the operator runs as."""

    create: bool = doc("Whether the chart creates the ServiceAccount.", True)
    name: str = doc("Name of the ServiceAccount. Defaults to the name of the release.", "")
    annotations: dict[str, str] = doc("Annotations of the ServiceAccount.", {})


class LeaderElection(Values):
    """Who of several replicas acts."""

    enabled: bool = doc(
        "Whether one replica also holds the Lease, so that a second Pod never acts at the same time. Several replicas always use "
        "it. Set it to false only if the operator may not have Leases, and scale to 0 before you add replicas.",
        True,
    )


class WorkloadIdentity(Values):
    """Signing in to Azure as the operator itself, by Azure Workload Identity."""

    # The webhook ignores a ServiceAccount without the annotation, and accounts would fail only at their first sign-in.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"enabled": {"const": True}}, "required": ["enabled"]},
            "then": {"properties": {"clientId": {"minLength": 1}}, "required": ["clientId"]},
        }
    )

    enabled: bool = doc(
        "Whether to label the pod and annotate the ServiceAccount for the workload identity webhook.", False
    )
    client_id: str = doc("Client ID of the application or managed identity. Required with enabled.", "")
    tenant_id: str = doc("Tenant ID. Defaults to the tenant that the webhook is configured with.", "")
    namespaces: list[str] = doc(
        "Namespaces whose BatchAccounts may sign in as the operator; * allows all. Defaults to none, because "
        "anyone who can create a BatchAccount in such a namespace gets the operator's permissions in Azure.",
        [],
    )


class NamespaceIdentities(Values):
    """Signing in to Azure as a ServiceAccount of the BatchAccount's own namespace."""

    enabled: bool = doc(
        "Whether the operator may request tokens for ServiceAccounts named azure-batch, and for no others.", False
    )


class PodDisruptionBudget(Values):
    """Protection from voluntary evictions."""

    enabled: bool = doc("Whether to create a PodDisruptionBudget.", False)
    max_unavailable: int | str = doc(
        "Maximum number of unavailable pods. The default never blocks the drain of a node.", 1
    )


class NetworkPolicy(Values):
    """What may talk to the operator, and to whom it may talk."""

    enabled: bool = doc("Whether to create a NetworkPolicy.", False)
    egress_ports: list[Annotated[int, Field(ge=1, le=65535)]] = doc(
        "Ports for egress to Azure, Entra ID and the API server.", [443, 6443]
    )
    ingress_from: Items = doc("Peers that may scrape metrics (NetworkPolicyPeer). Defaults to all.", [])
    extra_egress: Items = doc(
        "Additional egress rules, for example for a proxy, a collector of traces or managed identities: docs/identity.md.",
        [],
    )


class Service(Values):
    """The Service in front of probes and metrics."""

    annotations: dict[str, str] = doc("Annotations of the Service.", {})


class Monitor(Values):
    """A ServiceMonitor or PodMonitor of the Prometheus operator."""

    enabled: bool = doc("Whether to create it.", False)
    labels: dict[str, str] = doc("Labels that your Prometheus selects.", {})
    interval: str = doc("Scrape interval.", "30s", pattern="^([0-9]+(ms|s|m|h))+$")


class PrometheusRule(Values):
    """Alerts."""

    enabled: bool = doc("Whether to create a PrometheusRule.", False)
    labels: dict[str, str] = doc("Labels that your Prometheus selects.", {})
    docs_url: str = doc(
        "URL where you publish the documentation, such as https://docs.example.com/azure-batch-operator, for the "
        "runbook_url annotation of alerts. If empty, alerts have no runbook_url.",
        "",
        pattern="^(https?://\\S+)?$",
    )


class Dashboards(Values):
    """Dashboards of Grafana."""

    enabled: bool = doc("Whether to create ConfigMaps with the dashboards.", False)
    labels: dict[str, str] = doc("Labels that the sidecar of Grafana selects.", {"grafana_dashboard": "1"})
    annotations: dict[str, str] = doc("Annotations of the ConfigMaps, for example the folder.", {})


def _probe(path: str, period: int, failures: int) -> Mapping:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "failureThreshold": failures}


class ChartValues(Values):
    """All values of the chart azure-batch-operator."""

    replica_count: int = doc(
        "Number of pods. One is sufficient: a restart takes seconds and loses nothing. With two, one is active "
"and the other is on standby.",
        1, ge=0, le=5,
    )  # fmt: skip
    image: Image = doc("Container image of the operator.", Image)
    image_pull_secrets: Items = doc("Secrets for pulling the image.", [])
    name_override: str = doc("Overrides the name of the chart.", "")
    fullname_override: str = doc("Overrides the full name, which is generated from the release and the chart.", "")
    watch_namespaces: list[Annotated[str, Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]] = doc(
        "Namespaces to watch. Defaults to all. If set, the operator gets a Role in each of them and no "
        "permissions on objects in other namespaces. To delete a namespace, first delete the objects in it, then remove it "
        "from the list: docs/install.md.",
        [],
    )
    config: Mapping = doc(
        "Settings of the operator, in camelCase as in docs/configuration.md, for example {pollSeconds: 5, "
        "allowedHosts: [.batch.example]}",
        {"logFormat": "json"},
    )
    crds: CustomResources = doc("The CustomResourceDefinitions.", CustomResources)
    rbac: Rbac = doc("Permissions of the operator.", Rbac)
    user_roles: UserRoles = doc("Permissions of users.", UserRoles)
    admission_policy: AdmissionPolicy = doc(
        "A ValidatingAdmissionPolicy that restricts the operator's changes to the finalizers and status of objects.",
        AdmissionPolicy,
    )
    service_account: ServiceAccount = doc("ServiceAccount of the operator.", ServiceAccount)
    leader_election: LeaderElection = doc("Leader election between replicas.", LeaderElection)
    workload_identity: WorkloadIdentity = doc("Sign-in to Azure with the operator's own identity.", WorkloadIdentity)
    namespace_identities: NamespaceIdentities = doc(
        "Sign-in to Azure with an identity of the BatchAccount's namespace.", NamespaceIdentities
    )
    resources: Mapping = doc(
        "Resource requests and limits. The operator needs about 150 MiB for 10,000 objects.",
        {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    )
    liveness_probe: Mapping = doc(
        "Liveness probe. It fails if the operator is stuck, not if Azure is unavailable.", _probe("/healthz", 20, 3)
    )
    readiness_probe: Mapping = doc(
        "Readiness probe. It succeeds after the first complete list, or while another replica is the leader.",
        _probe("/readyz", 5, 3),
    )
    pod_disruption_budget: PodDisruptionBudget = doc("PodDisruptionBudget of the operator.", PodDisruptionBudget)
    network_policy: NetworkPolicy = doc("NetworkPolicy of the operator.", NetworkPolicy)
    service: Service = doc("Service for probes and metrics.", Service)
    service_monitor: Monitor = doc("ServiceMonitor for the Prometheus Operator.", Monitor)
    pod_monitor: Monitor = doc(
        "PodMonitor for the Prometheus Operator, as an alternative to the ServiceMonitor.", Monitor
    )
    prometheus_rule: PrometheusRule = doc("PrometheusRule with alerts for the Prometheus Operator.", PrometheusRule)
    dashboards: Dashboards = doc("Grafana dashboards.", Dashboards)
    pod_labels: dict[str, str] = doc("Additional labels of the pod.", {})
    pod_annotations: dict[str, str] = doc("Annotations of the pod.", {})
    pod_security_context: Mapping = doc(
        'Security context of the pod. The default meets the Pod Security Standard "restricted".',
        {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    )
    security_context: Mapping = doc(
        "Security context of the container.",
        {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    )
    priority_class_name: str = doc("PriorityClass of the pod.", "")
    termination_grace_period_seconds: int = doc(
        "Time for pending writes before the pod is killed, in seconds.", 60, ge=20
    )
    node_selector: dict[str, str] = doc("Node selector of the pod.", {})
    tolerations: Items = doc("Tolerations of the pod.", [])
    affinity: Mapping = doc("Affinity of the pod.", {})
    topology_spread_constraints: Items = doc("Topology spread constraints of the pod.", [])
    extra_args: list[str] = doc("Additional arguments of `azure-batch-operator run`.", [])
    extra_env: Items = doc(
        "Additional environment variables, for example HTTPS_PROXY or OTEL_EXPORTER_OTLP_ENDPOINT.", []
    )
    extra_env_from: Items = doc("Additional environment variables from ConfigMaps or Secrets.", [])
    extra_volumes: Items = doc("Additional volumes, for example a bundle of CA certificates.", [])
    extra_volume_mounts: Items = doc("Additional volume mounts.", [])
    global_: Mapping = Field(
        default_factory=dict, alias="global", description="Values that Helm passes from a parent chart."
    )
