"""Modules that are loaded when something of them is used.

The libraries of Kubernetes, Azure and pydantic take seconds to load, which `--help` and shell completion must not wait for:
tests/unit/kubectl/test_later.py.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def later(name: str) -> ModuleType:
    """The module of that name in this package, loaded at its first use."""
    whole = f"{__package__}.{name}"
    if whole in sys.modules:
        return sys.modules[whole]
    spec = importlib.util.find_spec(whole)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(whole, name=whole)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[whole] = module
    spec.loader.exec_module(module)
    # As the import statement does.
    setattr(sys.modules[whole.rpartition(".")[0]], name, module)
    return module
