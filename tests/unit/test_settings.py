"""Settings from flags, environment and file, and what is said of wrong ones."""

from __future__ import annotations

import socket
from pathlib import Path

import certifi
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from azure_batch_operator.cli import main
from azure_batch_operator.settings import PREFIX, Settings, SettingsError, flag_of, load, variable_of


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def write(folder: Path, text: str) -> str:
    path = folder / "settings.yaml"
    path.write_text(text)
    return str(path)


def test_flags_beat_variables_and_variables_the_file(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ.setenv("AZURE_BATCH_OPERATOR_WORKERS", "2")
    environ.setenv("AZURE_BATCH_OPERATOR_POLL_SECONDS", "2")
    file = write(tmp_path, "workers: 3\npollSeconds: 3\nresyncSeconds: 3\nnamespaces: [a, b]\n")
    settings = load({"workers": 1}, {}, file)
    assert (settings.workers, settings.poll_seconds, settings.resync_seconds) == (1, 2, 3)
    assert settings.namespaces == ("a", "b")
    assert settings.idle_poll_seconds == Settings.model_fields["idle_poll_seconds"].default


@pytest.mark.parametrize(("text", "wanted"), [("a, b", ("a", "b")), ('["a","b"]', ("a", "b")), ("", ())])
def test_lists_in_variables(environ: pytest.MonkeyPatch, text: str, wanted: tuple[str, ...]) -> None:
    environ.setenv("AZURE_BATCH_OPERATOR_NAMESPACES", text)
    assert load({}, {}).namespaces == wanted


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_wrong_value_is_named_in_every_way_it_can_be_given(environ: pytest.MonkeyPatch, name: str) -> None:
    environ.setenv(variable_of(name), "" if name == "http_host" else "\n" * 100)
    if name in {"namespaces", "allowed_hosts", "identity_namespaces", "adopt_from_clusters"}:
        environ.setenv(variable_of(name), "https://example.org")
    with pytest.raises(SettingsError) as caught:
        load({}, {})
    for each in (name, flag_of(name), variable_of(name)):
        assert each in str(caught.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("namespaces", ("team-a", "b"), ("*", "Team", "a/b", "-a", "")),
        ("identity_namespaces", ("team-a", "*"), ("Team", "**")),
        (
            "allowed_hosts",
            ("batch.example", ".example.org", "10.0.0.1", "fd00::1"),
            ("https://x.org", "*.org", "a:1", ".", ""),
        ),
        (
            "authority",
            ("login.microsoftonline.us", "127.0.0.1:8443"),
            ("https://login.example", "a/b", "user@host", ""),
        ),
    ],
)
def test_an_invalid_name_is_refused(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    several = name != "authority"
    for value in good:
        given = (value,) if several else value
        assert getattr(load({name: given}, {}), name) == given
    for value in bad:
        with pytest.raises(SettingsError, match=flag_of(name)):
            load({name: (value,) if several else value}, {})


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    empty = write(tmp_path, "not a certificate\n")
    for path in ("/nowhere.pem", empty):
        with pytest.raises(SettingsError, match=f"--authority-ca-file.*{path}"):
            load({"authority_ca_file": path}, {})
    assert load({"authority_ca_file": certifi.where()}, {}).authority_ca_file == certifi.where()
    assert load({"authority_ca_file": ""}, {}).authority_ca_file is None


def test_an_address_that_is_taken_stops_the_start_with_the_settings_names() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["run", "--http-host=127.0.0.1", f"--http-port={port}"])
    assert done.exit_code == 1
    assert "http_port" in str(done.output)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("polSeconds: 1", "polSeconds"),
        ("poll_seconds: 1", "poll_seconds"),
        ("workers: many", "workers"),
        ("- a", "not contain a mapping"),
        ("{", "not YAML"),
        (
            "pollSeconds: 9\nidlePollSeconds: 3",
            r"idlePollSeconds \(3\) is less than pollSeconds \(9\): raise the former or lower the latter",
        ),
        ("polSeconds: 1", "no setting polSeconds .did you mean pollSeconds.?"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load({}, {}, write(tmp_path, text))


def test_a_variable_that_is_no_setting_is_refused_but_not_those_of_a_service() -> None:
    for given, meant in (("POL_SECONDS", "POLL_SECONDS"), ("NAMESPACE", "NAMESPACES"), ("WORKER", "WORKERS")):
        with pytest.raises(SettingsError, match=rf"no setting {PREFIX}{given} \(did you mean {PREFIX}{meant}\?\)$"):
            load({}, {f"{PREFIX}{given}": "1"})
    with pytest.raises(SettingsError, match=rf"no setting {PREFIX}XYZZY: docs/configuration\.md lists all$"):
        load({}, {f"{PREFIX}XYZZY": "1"})
    load({}, {
        "AZURE_BATCH_OPERATOR_SERVICE_HOST": "10.0.0.1", "AZURE_BATCH_OPERATOR_SERVICE_PORT_HTTP": "8080",
        "AZURE_BATCH_OPERATOR_PORT": "tcp://10.0.0.1:8080", "AZURE_BATCH_OPERATOR_PORT_8080_TCP_ADDR": "10.0.0.1",
        "AZURE_BATCH_OPERATOR_CONFIG": "somewhere",
    })  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers=0"], "--workers"),
        (["--log-format=xml"], "--log-format"),
        (["--reconcile-policy=managed"], "--reconcile-policy"),
        (["--config=/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["run", *arguments])
    assert done.exit_code == 2
    assert words in done.output


def test_every_setting_has_a_flag_with_its_description() -> None:
    text = " ".join(CliRunner().invoke(main, ["run", "--help"], terminal_width=200).output.split())
    for name, field in Settings.model_fields.items():
        assert f"{flag_of(name)} " in text
        assert " ".join((field.description or "?").split()[:4]) in text


def test_without_a_cluster_it_says_where_it_looked(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    environ.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    done = CliRunner().invoke(main, ["run", "--http-host=127.0.0.1", "--http-port=0"])
    assert done.exit_code == 1
    assert f"{tmp_path / 'nowhere'} (KUBECONFIG)" in done.output


def test_it_looks_where_the_environment_says_now(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library reads KUBECONFIG when it is imported, which was long ago."""
    (tmp_path / "config").write_text("current-context: lost\n")
    environ.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    environ.setenv("KUBECONFIG", str(tmp_path / "config"))
    done = CliRunner().invoke(main, ["run", "--http-host=127.0.0.1", "--http-port=0"])
    assert done.exit_code == 1
    assert "Expected object with name lost" in done.output


def test_a_name_of_the_lease_that_is_no_value_of_a_label_is_refused_with_shards() -> None:
    assert Settings(lease_name="a" * 64).lease_name == "a" * 64
    assert Settings(lease_name="a" * 63, shards=2).shards == 2
    with pytest.raises(ValidationError, match=r"leaseName has 64 characters.*use at most 63 characters"):
        Settings(lease_name="a" * 64, shards=2)
