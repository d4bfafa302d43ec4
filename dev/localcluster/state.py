"""What a running cluster leaves in its folder, so that a later command finds it: its URL and its processes."""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster.kubeconfig import write_private
from localcluster.processes import ProcessRef

FILE = "state.json"


@dataclass(frozen=True)
class State:
    """The API server's URL, and by component name the processes that were started."""

    url: str
    processes: dict[str, ProcessRef]

    def dumps(self) -> str:
        """As JSON."""
        refs = {name: {"pid": ref.pid, "started": ref.started} for name, ref in self.processes.items()}
        return json.dumps({"url": self.url, "processes": refs}, indent=2) + "\n"

    @classmethod
    def loads(cls, text: str) -> "State | None":
        """From JSON; None if it is not what `dumps` writes, as after a crash in a full disk."""
        try:
            content = json.loads(text)
            refs = {
                str(name): ProcessRef(int(ref["pid"]), str(ref["started"]))
                for name, ref in content["processes"].items()
            }
            return cls(str(content["url"]), refs)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def write_state(root: Path, state: State) -> None:
    """Keep the state in the folder of the cluster."""
    write_private(root / FILE, state.dumps())


def read_state(root: Path) -> State | None:
    """The state kept in the folder of a cluster; None if none was started there."""
    try:
        return State.loads((root / FILE).read_text())
    except FileNotFoundError:
        return None
