"""Finds and reads the kubeconfig as kubectl does.

The library of Kubernetes reads KUBECONFIG once, when it is imported, and takes the current context of the last of several files.
Here the environment is read at each use, and the first file with a current context wins: tests/unit/kubectl/test_kubeconfig.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

_DEFAULT = "~/.kube/config"


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
        ConfigException: there is no file, it cannot be read, or it has no such context.
    """
    paths = files(given, os.environ)
    listed, found = _joined(paths), [path for path in paths if _says_something(path)]
    if not found:
        raise ConfigException(f"{listed} does not exist or is empty")
    try:
        merged = KubeConfigMerger(_joined(found))
        active = context or current_context(list(merged.config_files.values()))
    except (OSError, yaml.YAMLError, TypeError, AttributeError, KeyError) as error:
        raise ConfigException(f"{listed} cannot be read: {' '.join(str(error).split())}") from None
    if active is None:
        raise ConfigException(f"{listed} has no current-context")
    return KubeConfigLoader(config_dict=merged.config, active_context=active)


def _says_something(path: Path) -> bool:
    """Whether there is a file that is not empty; the library does not take an empty one. The size of a pipe is not known."""
    empty = path == Path(os.devnull) or (path.is_file() and path.stat().st_size == 0)
    return path.exists() and not empty


def _joined(paths: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, paths))
