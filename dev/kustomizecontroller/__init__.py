"""Flux's kustomize-controller itself, built from its Go module and cached like the control plane.

It applies what a source offers, and waits until the objects are as they should be. The caller offers the source: an archive over
HTTP, and an object of the kind GitRepository whose status names it, as source-controller would write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localcluster.goprogram import GoProgram, built

_DEFINITION = "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"
PROGRAM = GoProgram(
    Path(__file__).parent,
    "Flux's kustomize-controller (about 4 minutes on 2 free cores)",
    package="github.com/fluxcd/kustomize-controller",
    files=(_DEFINITION,),
)


@dataclass(frozen=True)
class Controller:
    """What a build gives.

    Attributes:
        program: the controller.
        definition: the CustomResourceDefinition of its kind, Kustomization.
    """

    program: Path
    definition: Path


def controller() -> Controller:
    """The controller, built at the first use.

    Raises LocalClusterError with the reason and the remedy if it cannot be built.
    """
    folder = built(PROGRAM)
    return Controller(folder / PROGRAM.folder.name, folder / Path(_DEFINITION).name)
