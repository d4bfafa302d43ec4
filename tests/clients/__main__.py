"""``make clients``: the official clients in several languages and versions, unchanged, against the emulator.

Each has an environment of its own below ``.clients/``, made when it is first needed with the package manager of its language;
a language whose tools are not on PATH is left out, and the table says so. Each client's script prints a line per call; here
they become a table client × call × verdict. Not part of ``make test``: it downloads about a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1] / ".clients"
# What one client may take; the slowest, which starts a program for each call, takes a minute.
MAX_SECONDS = 400


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a client reaches the emulator."""

    url: str
    account: str
    key: str
    tls_url: str
    ca_file: str

    @property
    def shared_key(self) -> list[str]:
        """Arguments of a script that signs with the shared key."""
        return [self.url, self.account, self.key]


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        name: with its version.
        version: of the API.
        tools: programs that must be on PATH.
        prepare: makes the environment.
        command: that runs the script.
    """

    name: str
    version: str
    tools: tuple[str, ...]
    prepare: Callable[[Path], None]
    command: Callable[[Path, Endpoint], list[str]]


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name}: {(done.stderr or done.stdout)[-400:].strip()}")


def _python(name: str, requirement: str, script: str, version: str) -> Client:
    def prepare(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", folder)
        _run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", requirement)

    def command(folder: Path, endpoint: Endpoint) -> list[str]:
        return [str(folder / "bin" / "python"), str(HERE / "python" / script), *endpoint.shared_key]

    return Client(name, version, (), prepare, command)


def _prepare_go(folder: Path) -> None:
    folder.mkdir()
    _run("go", "build", "-o", folder / "clients", ".", cwd=HERE / "go")


def _prepare_java(folder: Path) -> None:
    folder.mkdir()
    _run(
        "mvn",
        "-q",
        "-B",
        "-f",
        HERE / "java" / "pom.xml",
        "dependency:copy-dependencies",
        f"-DoutputDirectory={folder}/lib",
    )


def _prepare_javascript(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(HERE / "javascript" / "package.json", folder)
    _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)


def _java_command(folder: Path, endpoint: Endpoint) -> list[str]:
    # The client's JSON library looks into classes of the runtime, which Java allows on request only.
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("util", "lang")]
    # Compiled at each start, so that what runs is the script as it stands.
    return ["java", *opened, "-cp", f"{folder}/lib/*", str(HERE / "java" / "Clients.java"), *endpoint.shared_key]


CLIENTS = (
    _python("python-14.2.0", "azure-batch==14.2.0", "batch14.py", "2024-02-01.19.0"),
    _python("python-15.1.0", "azure-batch==15.1.0", "batch15.py", "2025-06-01"),
    _python("azure-cli-2.91.0", "azure-cli==2.91.0", "azcli.py", "2024-07-01.20.0"),
    Client(
        "go-azbatch-0.1.0",
        "2024-07-01.20.0",
        ("go",),
        _prepare_go,
        lambda folder, endpoint: [str(folder / "clients"), endpoint.tls_url, endpoint.ca_file],
    ),
    Client("java-11.2.0", "2024-07-01.20.0", ("java", "javac", "mvn"), _prepare_java, _java_command),
    Client(
        "javascript-10.2.0",
        # Told so by the script: the client is older than any version that is spoken.
        "2024-02-01.19.0",
        ("node", "npm"),
        _prepare_javascript,
        lambda folder, endpoint: [
            "env",
            f"NODE_PATH={folder}/node_modules",
            "node",
            str(HERE / "javascript" / "clients.js"),
            *endpoint.shared_key,
        ],
    ),
)


def main() -> int:
    """Run the clients and print the table; 1 if a call failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names of clients; all without")
    names = parser.parse_args().names
    chosen = [each for each in CLIENTS if not names or any(each.name.startswith(name) for name in names)]
    command = [sys.executable, "-m", "azure_batch_emulator", "--port=0", "--tls-port=0", "--time-scale=200"]
    with tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            ready = re.search(
                r"endpoint=(\S+) account=(\S+) key=(\S+) tls-endpoint=(\S+) ca=(\S+)", process.stdout.readline()
            )
            assert ready is not None
            endpoint = Endpoint(*ready.groups())
            _post(endpoint, "identities", {"tenantId": "clients", "clientId": "clients", "secret": "secret"})
            verdicts = {each.name: _verdicts(each, endpoint) for each in chosen}
            process.terminate()
        log.seek(0)
        print(log.read(), end="")
    return _table(chosen, verdicts)


def _post(endpoint: Endpoint, path: str, body: dict[str, Any]) -> None:
    urllib.request.urlopen(f"{endpoint.url}/emulator/{path}", json.dumps(body).encode()).close()  # noqa: S310


def _verdicts(client: Client, endpoint: Endpoint) -> dict[str, str]:
    """What each call of a client came to."""
    missing = [tool for tool in client.tools if shutil.which(tool) is None]
    if missing:
        return {"(all)": f"left out: no {', '.join(missing)} on PATH"}
    folder = ROOT / client.name
    marker = ROOT / f"{client.name}.made"
    try:
        if not marker.exists():
            print(f"installing {client.name} …", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            ROOT.mkdir(exist_ok=True)
            client.prepare(folder)
            marker.touch()
    except RuntimeError as error:
        return {"(install)": f"failed: {error}"}
    print(f"running {client.name} …", flush=True)
    with subprocess.Popen(
        client.command(folder, endpoint), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            errors = f"no end within {MAX_SECONDS} s"
    lines = (line.partition("\t") for line in output.splitlines())
    found = {name: verdict for name, tab, verdict in lines if tab}
    if process.returncode:
        found["(exit)"] = f"failed: {errors.strip()[-200:]}"
    return found


def _table(clients: list[Client], verdicts: dict[str, dict[str, str]]) -> int:
    calls = list(dict.fromkeys(call for found in verdicts.values() for call in found))
    width = max(map(len, calls), default=0)
    print("\n" + " " * width, *(f"{each.name:>18}" for each in clients))
    print(f"{'api-version':{width}}", *(f"{each.version:>18}" for each in clients))
    for call in calls:
        shown = (verdicts[each.name].get(call, "-") for each in clients)
        print(f"{call:{width}}", *(f"{verdict if verdict in ('ok', '-') else 'FAILED':>18}" for verdict in shown))
    failures = [
        (name, call, verdict) for name, found in verdicts.items() for call, verdict in found.items() if verdict != "ok"
    ]
    for name, call, verdict in failures:
        print(f"{name}, {call}: {verdict}")
    print(f"{sum(map(len, verdicts.values())):,} calls, {len(failures)} not ok")
    return int(any("left out" not in verdict for _, _, verdict in failures))


if __name__ == "__main__":
    sys.exit(main())
