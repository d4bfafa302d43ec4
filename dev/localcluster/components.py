"""The command lines of the control plane's components: what is decided about them, apart from running them.

All paths are relative to the cluster's own folder, which is the working directory of every component. etcd listens on
sockets in that folder and on no port: nobody gets past the API server, and only one port can be taken by others.
"""

from pathlib import Path

ETCD_SOCKET = "unix://etcd.sock"
PKI = "pki"
TOKENS = "tokens.csv"
MANAGER_KUBECONFIG = "controller-manager.kubeconfig"
MANAGER_USER = "system:kube-controller-manager"

CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    # Fills the roles view, edit and admin, which have no rules of their own.
    "clusterrole-aggregation-controller",
)


def etcd_command(program: Path) -> list[str]:
    """etcd as the store of one short-lived cluster: no fsync, because its data need not outlive the machine."""
    nobody = "http://localhost:2380"  # etcd wants the address of a peer; the only member of a cluster dials none
    return [
        str(program),
        "--name=localcluster",
        "--data-dir=etcd",
        f"--listen-client-urls={ETCD_SOCKET}",
        "--advertise-client-urls=http://localhost:2379",
        "--listen-peer-urls=unix://peer.sock",
        f"--initial-advertise-peer-urls={nobody}",
        f"--initial-cluster=localcluster={nobody}",
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={8 * 1024**3}",  # benchmarks write more than the default of 2 GiB between compactions
        "--log-level=warn",
    ]


def apiserver_command(program: Path, port: int) -> list[str]:
    """kube-apiserver with RBAC on 127.0.0.1:`port`.

    It makes its serving certificate itself, before it reads the key of the service-account tokens, which may thus be
    the same; and it is the issuer of these tokens under its own URL, as OIDC discovery asks for.
    """
    return [
        str(program),
        f"--etcd-servers={ETCD_SOCKET}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={PKI}",
        f"--token-auth-file={TOKENS}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer=https://127.0.0.1:{port}",
        f"--service-account-key-file={PKI}/apiserver.key",
        f"--service-account-signing-key-file={PKI}/apiserver.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
        "--profiling=false",
    ]


def controller_manager_command(program: Path) -> list[str]:
    """kube-controller-manager with the few controllers that work without nodes. It serves nothing, so needs no port."""
    return [
        str(program),
        f"--kubeconfig={MANAGER_KUBECONFIG}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        # The defaults of 20 and 30 make the deletion of a namespace with thousands of objects last minutes.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--profiling=false",
    ]


def token_file(tokens: dict[str, str]) -> str:
    """The API server's token file: for each user name its token; all of them cluster administrators."""
    return "".join(f'{token},{user},{user},"system:masters"\n' for user, token in tokens.items())


def issuer_discovery_binding() -> dict[str, object]:
    """Lets anybody read the issuer's discovery document and keys, as a token endpoint outside the cluster must."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "localcluster:issuer-discovery"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
    }


def is_port_taken(log: str) -> bool:
    """Whether a component ended because somebody else took its port in the meantime."""
    return "address already in use" in log
