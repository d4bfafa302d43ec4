"""Where the plugin finds the kubeconfig: as kubectl does, by the environment at the time of the call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kubernetes.aio.config import ConfigException

from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.cluster import Place, connected
from azure_batch_kubectl.kubeconfig import files, load


def written(path: Path, *names: str, current: str | None = None) -> str:
    """A kubeconfig with a context, a cluster and a namespace for each name."""
    body = {
        "contexts": [{"name": name, "context": {"cluster": name, "namespace": f"team-{name}"}} for name in names],
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}.example"}} for name in names],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(body | ({"current-context": current} if current is not None else {})))
    return str(path)


def reached(place: Place) -> tuple[str, str]:
    """Server and namespace of a connection."""

    async def ask() -> tuple[str, str]:
        async with connected(place) as cluster:
            return cluster._api.configuration.host, cluster.namespace

    return asyncio.run(ask())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and no KUBECONFIG."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


def test_the_environment_is_read_at_each_call(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is long imported by now."""
    for name in ("a", "b"):
        monkeypatch.setenv("KUBECONFIG", written(home / name, name, current=name))
        assert reached(Place()) == (f"http://{name}.example", f"team-{name}")


@pytest.mark.parametrize("variable", [None, ""])
def test_without_the_variable_it_is_the_file_in_the_home_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    written(home / ".kube" / "config", "h", current="h")
    if variable is not None:
        monkeypatch.setenv("KUBECONFIG", variable)
    assert reached(Place()) == ("http://h.example", "team-h")


def test_an_option_is_stronger_than_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", written(home / "a", "a", current="a"))
    assert reached(Place(written(home / "b", "b", current="b"))) == ("http://b.example", "team-b")


def test_of_several_files_the_first_that_sets_a_current_context_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = written(home / "a", "a", current=""), written(home / "b", "b", current="b")
    third = written(home / "c", "c", current="c")
    (home / "empty").touch()
    monkeypatch.setenv("KUBECONFIG", f"{home}/none:/dev/null:{home}/empty::{first}:{second}:{third}")
    assert reached(Place()) == ("http://b.example", "team-b")
    assert reached(Place(context="c")) == ("http://c.example", "team-c")
    assert reached(Place(context="a", namespace="other")) == ("http://a.example", "other")


def test_a_context_that_is_named_needs_no_current_one(home: Path) -> None:
    assert reached(Place(written(home / "a", "a"), context="a")) == ("http://a.example", "team-a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist or is empty"),
        ("", "does not exist or is empty"),
        ("contexts: []", "has no current-context"),
        ("current-context: x", "Expected object with name x"),
        ("[", "cannot be read: while parsing"),
        ("just words", "cannot be read: "),
        ("contexts: [{}, {}]", "Expected key name"),
    ],
)
def test_an_unusable_file_is_named(home: Path, text: str | None, said: str) -> None:
    path = home / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigException, match=said):
        load(str(path), None)
    done = CliRunner().invoke(plugin, ["top", "--kubeconfig", str(path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: no usable kubeconfig: ")
    assert said in done.stderr
    assert done.stderr.endswith(": set KUBECONFIG, --kubeconfig or --context\n")


def test_the_paths_of_the_variable_are_separated_by_colons(home: Path) -> None:
    assert files(None, {"KUBECONFIG": "/a:~/b:"}) == [Path("/a"), home / "b"]
