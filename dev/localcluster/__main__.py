"""The command `python -m localcluster`, behind `make cluster` and `make cluster-down`."""

import argparse
import os
import sys
from pathlib import Path

from localcluster.background import DEFAULT_ROOT, down, status, up
from localcluster.build import binaries
from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError


def main(arguments: list[str]) -> int:
    """Run one command; 0 if all is well, 1 with the reason on standard error if not."""
    parser = argparse.ArgumentParser(prog="python -m localcluster", description="The local control plane")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="folder of the cluster (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it in the background, unless it runs")
    commands.add_parser("down", help="stop it and remove its data")
    commands.add_parser("status", help="tell whether and how it runs; exit code 1 if it does not")
    commands.add_parser("build", help="get the programs, and nothing else")
    kubectl = commands.add_parser("kubectl", help="kubectl on this cluster", add_help=False)
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except LocalClusterError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    root: Path = options.root.absolute()
    match options.command:
        case "up":
            cluster = up(root, print)
            print("To use it:")
            print(f"  export KUBECONFIG={cluster.kubeconfig}")
            print(f"  export PATH={cluster.root / 'bin'}:$PATH   # kubectl, helm")
        case "down":
            down(root, print)
        case "status":
            print("\n".join(status(root)))
        case "build":
            print(f"kubectl and the components are in {binaries().kubectl.parent}")
        case "kubectl":
            kubeconfig = LocalCluster.attach(root).kubeconfig
            program = str(root / "bin" / "kubectl")
            sys.stdout.flush()
            os.execve(program, [program, *options.arguments], {**os.environ, "KUBECONFIG": str(kubeconfig)})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
