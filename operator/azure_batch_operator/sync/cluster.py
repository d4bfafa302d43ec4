"""The operator's access to Kubernetes in one value: what the controller and the executor read and write."""

from __future__ import annotations

from dataclasses import dataclass

from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.kube.events import EventRecorder
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.kube.status import StatusWriter


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        id: part of the ownership marker.
        writer: of all statuses.
        events: the recorder of Kubernetes Events.
        namespaces: their labels and annotations.
    """

    id: str
    api: KubeApi
    writer: StatusWriter
    events: EventRecorder
    namespaces: Namespaces
