"""Where the plugin finds the kubeconfig: as kubectl does, by the environment at the time of the call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import certifi
import pytest
import yaml
from click.testing import CliRunner
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config

from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.cluster import Place, connected
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.kubeconfig import files, load
from azure_batch_kubectl.running import execute, explained
from unit.kubectl.conftest import Body


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


def test_of_several_files_the_first_that_has_a_name_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubectl does: nothing of a later entry of the same name is taken."""
    first = written(home / "a", "a")
    body = yaml.safe_load(Path(first).read_text())
    body["contexts"][0]["context"]["namespace"] = "later"
    body["clusters"][0]["cluster"] = {"server": "http://later.example", "proxy-url": "http://proxy.example"}
    (home / "b").write_text(yaml.safe_dump(body | {"current-context": "a"}))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{home}/b")
    assert reached(Place()) == ("http://a.example", "team-a")


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


def body(ca: str, **context: str) -> bytes:
    """A kubeconfig with a cluster that has such a certificate."""
    cluster = {"server": "https://c", "certificate-authority-data": ca}
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", **context}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    return yaml.safe_dump(content).encode()


BROKEN = {
    "UTF-16": "apiVersion: v1\n".encode("utf-16"),
    "base64": body("%%%", user="u"),
    "length": body("abcde", user="u"),
    "certificate": body("eHg=", user="u"),
    "no user": body("eHg="),
    "folder": None,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_text_or_no_file_is_one_line(home: Path, kind: str) -> None:
    path, content = home / "config", BROKEN[kind]
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    done = CliRunner().invoke(plugin, ["top", "--kubeconfig", str(path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: no usable kubeconfig: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_may_not_be_read_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as root, whom no folder refuses."""
    exists = Path.exists

    def refused(path: Path) -> bool:
        if path.name == "config":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refused)
    done = CliRunner().invoke(plugin, ["top", "--kubeconfig", str(home / "config")])
    assert (done.exit_code, done.stderr.startswith("error: no usable kubeconfig: ")) == (1, True)
    assert "Permission denied" in done.stderr


@pytest.fixture
def pod(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Kubernetes mounts for the ServiceAccount of a pod."""
    mounted = home / "serviceaccount"
    mounted.mkdir()
    (mounted / "token").write_text("of-the-pod")
    (mounted / "ca.crt").write_bytes(Path(certifi.where()).read_bytes())
    (mounted / "namespace").write_text("team-pod\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(mounted / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(mounted / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    return mounted


def test_a_pod_without_a_kubeconfig_uses_its_service_account(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def token() -> str | None:
        async with connected(Place()) as cluster:
            return await cluster._api.configuration.get_api_key_with_prefix("BearerToken")

    assert reached(Place()) == ("https://10.0.0.1:443", "team-pod")
    assert asyncio.run(token()) == "bearer of-the-pod"
    assert reached(Place(namespace="other"))[1] == "other"
    monkeypatch.setenv("POD_NAMESPACE", "set")
    assert reached(Place())[1] == "set"


def test_a_kubeconfig_is_stronger_than_the_service_account(
    home: Path, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", written(home / "a", "a", current="a"))
    assert reached(Place()) == ("http://a.example", "team-a")


@pytest.mark.parametrize("place", [Place("/none"), Place(context="c")])
def test_who_names_a_kubeconfig_or_a_context_does_not_get_the_service_account(pod: Path, place: Place) -> None:
    with pytest.raises(FailureError, match="does not exist or is empty"):
        reached(place)


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_service_account_is_told_of_the_kubeconfig(pod: Path, missing: str) -> None:
    (pod / missing).unlink()
    with pytest.raises(FailureError, match="does not exist or is empty"):
        reached(Place())


def test_a_token_that_cannot_be_renewed_is_one_line(pod: Path) -> None:
    """The library renews tokens between two calls."""
    said = "no usable kubeconfig: Token file exists but empty.: set KUBECONFIG, --kubeconfig or --context"

    async def work(_: object) -> None:
        raise ConfigException("Token file exists but empty.")

    assert str(explained(ConfigException("Token file exists but empty."))) == said
    with pytest.raises(SystemExit) as raised:
        execute(Place(), work)
    assert raised.value.code == 1


def test_the_paths_of_the_variable_are_separated_by_colons(home: Path) -> None:
    assert files(None, {"KUBECONFIG": "/a:~/b:"}) == [Path("/a"), home / "b"]


VERSION = "client.authentication.k8s.io/v1"


def with_user(path: Path, user: Body) -> Place:
    """A kubeconfig with credentials."""
    written(path, "a", current="a")
    body = yaml.safe_load(path.read_text())
    body["contexts"][0]["context"]["user"] = "u"
    path.write_text(yaml.safe_dump(body | {"users": [{"name": "u", "user": user}]}))
    return Place(str(path))


def plugin_that_prints(folder: Path, text: str, code: int = 0) -> Body:
    """A credential plugin."""
    program = folder / "sign-in"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\necho expired >&2\nexit {code}\n")
    program.chmod(0o755)
    return {"exec": {"apiVersion": VERSION, "command": str(program), "interactiveMode": "Never"}}


def status(**given: str) -> str:
    return json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": given})


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 1, "fails: exec: process returned 1. b'expired'"),
        ("no JSON", 0, "fails: exec: failed to decode"),
        ("7", 0, "fails: "),
        (status().replace("{}", "null"), 0, "prints neither a token"),
        (status(), 0, "prints neither a token nor a certificate with its key"),
        (status(token=""), 0, "prints neither a token nor a certificate with its key"),
        (status(clientCertificateData="c"), 0, "prints neither a token nor a certificate with its key"),
        (status(token="t").replace("/v1", "/v1beta1"), 0, "fails: exec: plugin api version"),
    ],
)  # fmt: skip
def test_a_credential_plugin_that_gives_nothing_is_an_error(tmp_path: Path, text: str, code: int, said: str) -> None:
    """The library would go on as somebody without a name."""
    place = with_user(tmp_path / "config", plugin_that_prints(tmp_path, text, code))
    with pytest.raises(FailureError) as raised:
        reached(place)
    assert f"no usable kubeconfig: the credential plugin '{tmp_path}/sign-in' {said}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("hint", "said"), [(None, "install it"), ("Get it\nfrom the platform team", "Get it from the platform team")]
)
def test_a_credential_plugin_that_is_missing_is_named(tmp_path: Path, hint: str | None, said: str) -> None:
    user = {"exec": {"apiVersion": VERSION, "command": "no-such-plugin", **({"installHint": hint} if hint else {})}}
    with pytest.raises(FailureError, match=f"the credential plugin 'no-such-plugin' is not installed: {said}"):
        reached(with_user(tmp_path / "config", user))


def test_a_provider_that_the_library_passes_over_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailureError, match="auth-provider 'azure' is not supported: use a credential plugin"):
        reached(with_user(tmp_path / "config", {"auth-provider": {"name": "azure", "config": {}}}))


def test_a_certificate_of_a_credential_plugin_is_used(tmp_path: Path) -> None:
    user = plugin_that_prints(tmp_path, status(clientCertificateData="cert", clientKeyData="key"))
    configuration = Configuration()
    asyncio.run(load(str(with_user(tmp_path / "config", user).kubeconfig), None).load_and_set(configuration))
    assert [Path(file).read_text() for file in (configuration.cert_file, configuration.key_file)] == ["cert", "key"]
