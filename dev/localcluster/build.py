"""Gets the binaries of the control plane: from KUBEBUILDER_ASSETS, from the cache, or by building them.

They are one Go program (main.go) under several names, which `goprogram` builds.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.goprogram import GoProgram, built

FOLDER = Path(__file__).parent
REQUIRED = ("etcd", "kube-apiserver", "kubectl")
CONTROLLER_MANAGER = "kube-controller-manager"
INSTEAD = "point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver and kubectl"


@dataclass(frozen=True)
class Binaries:
    """Where the programs of the control plane are. Without a controller manager nothing is garbage-collected.

    `helm` is always there in a build; among other people's binaries it may be missing.
    """

    etcd: Path
    apiserver: Path
    kubectl: Path
    controller_manager: Path | None
    helm: Path | None = None


def kubernetes_version(go_mod: str) -> str:
    """The version of k8s.io/kubernetes that a go.mod requires, such as `v1.36.3`."""
    match = re.search(r"\bk8s\.io/kubernetes (v\d+\.\d+\.\d+\S*)", go_mod)
    if not match:
        raise LocalClusterError("dev/localcluster/go.mod does not require k8s.io/kubernetes.")
    return match[1]


def link_flags(version: str) -> str:
    """Flags for the Go linker: no symbol tables, and the version that server and kubectl tell (else v0.0.0-master)."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {package}.{name}={value}" for package in packages for name, value in told.items()]
    return " ".join(["-s", "-w", *settings])


def control_plane() -> GoProgram:
    """The program that is all of the control plane."""
    version = kubernetes_version((FOLDER / "go.mod").read_text())
    return GoProgram(
        FOLDER,
        f"the control plane (etcd, Kubernetes {version}, helm; 5 to 6 minutes on 2 free cores)",
        (*REQUIRED, CONTROLLER_MANAGER, "helm"),
        link_flags(version),
        INSTEAD,
    )


def assets_binaries(folder: Path) -> Binaries:
    """The binaries in a folder that KUBEBUILDER_ASSETS names. Raises LocalClusterError if one is missing."""
    missing = [name for name in REQUIRED if not os.access(folder / name, os.X_OK)]
    if missing:
        raise LocalClusterError(
            f"KUBEBUILDER_ASSETS is {folder}, but there is no executable {', '.join(missing)} in it.",
            remedy="Correct it, or unset it to have the binaries built here.",
        )
    return binaries_in(folder)


def binaries_in(folder: Path) -> Binaries:
    """The binaries in a folder that holds all of them, with or without a controller manager and helm."""

    def optional(name: str) -> Path | None:
        return folder / name if os.access(folder / name, os.X_OK) else None

    return Binaries(
        etcd=folder / "etcd",
        apiserver=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        controller_manager=optional(CONTROLLER_MANAGER),
        helm=optional("helm"),
    )


def binaries(environ: Mapping[str, str] | None = None) -> Binaries:
    """The binaries to run, built first if need be (minutes, with progress on standard error).

    Raises LocalClusterError with the reason and the remedy if there are none and none can be built.
    """
    environ = os.environ if environ is None else environ
    if assets := environ.get("KUBEBUILDER_ASSETS"):
        return assets_binaries(Path(assets).absolute())
    return binaries_in(built(control_plane(), environ))
