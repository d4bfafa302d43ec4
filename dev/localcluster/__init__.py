"""The local control plane: a real etcd, kube-apiserver and kube-controller-manager on 127.0.0.1.

It is what the demo, the end-to-end tests and `make cluster` run against. It stands apart from operator and emulator
and uses the standard library only, because it must work before anything else does.

`build` gets the binaries, `cluster` runs them, `background` keeps a cluster beyond the life of one command.
"""

from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.requestcounts import WRITE_VERBS, RequestKey

__all__ = ["WRITE_VERBS", "LocalCluster", "LocalClusterError", "RequestKey"]
