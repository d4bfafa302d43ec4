"""A cluster that outlives the command that starts it: `make cluster`, for work by hand.

It lives in one folder, by default `.localcluster/` of the repository; a lock there keeps two commands apart.
"""

from collections.abc import Callable
from pathlib import Path

from localcluster.build import CONTROLLER_MANAGER, REQUIRED, Binaries, binaries
from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.locking import locked
from localcluster.processes import GRACE, resident_bytes, stop
from localcluster.progress import Progress
from localcluster.state import FILE, read_state

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / ".localcluster"

Say = Callable[[str], None]


def up(root: Path, say: Say) -> LocalCluster:
    """The cluster in `root`, started if it does not run. What is left of one that died is removed first."""
    with locked(root / ".lock", Progress("Waiting for another command on this cluster").update):
        try:
            cluster = LocalCluster.attach(root)
            say(f"The cluster already runs at {cluster.url}")
        except LocalClusterError:
            _end(root)
            programs = binaries()
            cluster = LocalCluster(root, programs=programs, owned=False)
            cluster.start()
            _link(programs, root / "bin")
            say(f"The cluster runs at {cluster.url}")
            if not cluster.collects_garbage:
                say(f"There is no {CONTROLLER_MANAGER} in KUBEBUILDER_ASSETS: nothing is garbage-collected.")
    return cluster


def down(root: Path, say: Say) -> None:
    """Stop the cluster in `root` and remove its data; its logs stay. Never touches a process that is not its own."""
    if not root.exists():
        say("No cluster runs.")
        return
    with locked(root / ".lock", Progress("Waiting for another command on this cluster").update):
        say("The cluster is stopped." if _end(root) else "No cluster runs.")


def status(root: Path) -> list[str]:
    """What runs in `root`, in lines for a person. Raises LocalClusterError if it is not whole."""
    cluster = LocalCluster.attach(root)
    lines = [f"{cluster.url}  kubeconfig {cluster.kubeconfig}  logs {cluster.root / 'logs'}"]
    for name, ref in cluster.processes.items():
        lines.append(f"  {name:<24} pid {ref.pid:<8} {resident_bytes(ref.pid) / 1024**2:4.0f} MiB")
    return lines


def _end(root: Path) -> bool:
    """End and remove whatever was started in `root`; whether any of it still ran."""
    state = read_state(root)
    started = list(state.processes.values()) if state else []
    alive = [ref for ref in started if ref.alive()]
    # What lost a component to serve it cannot end in order: it would use up all of the time it is given.
    stop(alive, grace=GRACE if len(alive) == len(started) else 0)
    (root / FILE).unlink(missing_ok=True)
    LocalCluster(root).clear()
    for link in (root / "bin").glob("*"):
        link.unlink()
    return bool(alive)


def _link(programs: Binaries, folder: Path) -> None:
    """Link the programs into `folder`, for a PATH."""
    folder.mkdir(exist_ok=True)
    found = (programs.etcd, programs.apiserver, programs.kubectl, programs.controller_manager, programs.helm)
    for name, program in zip((*REQUIRED, CONTROLLER_MANAGER, "helm"), found, strict=True):
        link = folder / name
        link.unlink(missing_ok=True)
        if program:
            link.symlink_to(program)
