"""Finds and reads the kubeconfig as kubectl does.

The library of Kubernetes reads KUBECONFIG once, when it is imported, and takes the current context of the last of several files.
Here the environment is read at each use, and the first file with a current context wins: tests/unit/kubectl/test_kubeconfig.py.
The library also goes on without credentials if a credential plugin fails, so that the API server refuses `system:anonymous`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config
from kubernetes.aio.config.exec_provider import ExecProvider
from kubernetes.aio.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

_DEFAULT = "~/.kube/config"


class NoKubeconfigError(ConfigException):  # type: ignore[misc]
    """There is no kubeconfig."""


class _Loader(KubeConfigLoader):  # type: ignore[misc]
    """Fails where the user section names credentials that are not available."""

    async def _load_authentication(self) -> None:
        if self.provider not in {None, "gcp", "oidc"}:
            raise ConfigException(f"auth-provider {self.provider!r} is not supported: use a credential plugin (exec)")
        await super()._load_authentication()

    async def load_from_exec_plugin(self) -> bool:
        """Take the credentials that the plugin prints.

        Raises:
            ConfigException: the plugin is not installed, fails, or prints no credentials.
        """
        said = self._user["exec"].value
        plugin = f"the credential plugin {said.get('command')!r}"
        try:
            status = await ExecProvider(self._user["exec"]).run() or {}
        except FileNotFoundError:
            raise ConfigException(" ".join([f"{plugin} is not installed:", *_hint(said)])) from None
        except (ConfigException, OSError, TypeError) as error:
            raise ConfigException(f"{plugin} fails: {' '.join(str(error).split())}") from None
        if status.get("token"):
            self.token = f"Bearer {status['token']}"
        elif status.get("clientCertificateData") and status.get("clientKeyData"):
            self.cert_file, self.key_file = (
                FileOrData(status, None, data_key_name=name, base64_file_content=False).as_file()
                for name in ("clientCertificateData", "clientKeyData")
            )
        else:
            raise ConfigException(f"{plugin} prints neither a token nor a certificate with its key")
        return True


def _hint(said: Mapping[str, object]) -> list[str]:
    """What to do about a missing plugin: its installHint, in one line."""
    return [" ".join(str(said.get("installHint") or "install it").split())]


def files(given: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Paths of the kubeconfig files: what the user gave, else those of KUBECONFIG, else the one in the home directory."""
    named = given or environ.get("KUBECONFIG") or _DEFAULT
    return [Path(path).expanduser() for path in named.split(os.pathsep) if path]


def current_context(contents: Sequence[Mapping[str, object]]) -> str | None:
    """The current context of the first file that sets one."""
    names = (content.get("current-context") for content in contents)
    return next((str(name) for name in names if name), None)


def load(given: str | None, context: str | None) -> KubeConfigLoader:
    """The kubeconfig with its active context.

    Args:
        given: path of the file that the user named.
        context: name of the context that the user named; the current one if None.

    Raises:
        NoKubeconfigError: there is no file.
        ConfigException: it cannot be read, or it has no such context.
    """
    paths = files(given, os.environ)
    listed = _joined(paths)
    try:
        found = [path for path in paths if _says_something(path)]
        if not found:
            raise NoKubeconfigError(f"{listed} does not exist or is empty")
        merged = KubeConfigMerger(_joined(found))
        active = context or current_context(list(merged.config_files.values()))
    except UnicodeDecodeError:
        raise ConfigException(f"{listed} cannot be read: it is not UTF-8") from None
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigException(f"{listed} cannot be read: {' '.join(str(error).split())}") from None
    if active is None:
        raise ConfigException(f"{listed} has no current-context")
    return _Loader(config_dict=merged.config, active_context=active)


def in_pod(configuration: Configuration) -> bool:
    """Take server and credentials from the ServiceAccount of the pod; whether there is one."""
    try:
        incluster_config.load_incluster_config(configuration)
    except (ConfigException, OSError):
        return False
    return True


def namespace_of_pod() -> str:
    """As kubectl has it: POD_NAMESPACE, else that of the ServiceAccount."""
    try:
        mounted = (
            Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace").read_text(encoding="utf-8").strip()
        )
    except OSError:
        mounted = ""
    return os.environ.get("POD_NAMESPACE") or mounted or "default"


def _says_something(path: Path) -> bool:
    """Whether there is a file that is not empty; the library does not take an empty one. The size of a pipe is not known."""
    empty = path == Path(os.devnull) or (path.is_file() and path.stat().st_size == 0)
    return path.exists() and not empty


def _joined(paths: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, paths))
