"""What to do about codes of Azure Batch that a user can act on: of a resize, of a failed task, of a refused call.

The service lists few of its codes, so a code is also judged by what its name says. A code that is not known has no remedy.
"""

from __future__ import annotations

_SEE_POOL = "see the condition ResizeFailed of the BatchPool"
_PACKAGE = (
    "add the version of the application package to the Batch account (`az batch application package create`), or correct "
    "applicationPackageReferences"
)


def of_resize(code: str) -> str:
    """What to do about the error of a resize."""
    name = code.lower()
    if name.endswith("quotareached"):
        return "request a higher core quota for the Batch account, or scale its other pools down"
    if name == "resizestopped":
        return "resize the pool again"
    if name in {"allocationfailed", "overconstrainedallocationrequesterror"}:
        return "Azure has no capacity for these nodes at the moment; wait, or use another vmSize"
    if name in {"allocationtimedout", "resizetimeout"}:
        return "Azure did not provide the nodes within resizeTimeout; wait, or use another vmSize"
    return _SEE_POOL


def of_code(code: str) -> str | None:
    """What to do about the code of a failed task or of a refused call; None if only its message says that."""
    name = code.lower()
    if "applicationpackage" in name:
        return _PACKAGE
    if name.startswith("fileupload"):
        return "check that the container in outputFiles exists, and that its SAS token or identity may write to it"
    if name == "containerpoolnotsupported":
        return "add containerConfiguration to virtualMachineConfiguration of the pool, or use a pool that has one"
    if name.startswith("container"):
        return "check that the container image exists, and that the pool may pull it from its registry"
    if name.startswith("blob"):
        return "check that each file in resourceFiles exists, and that its SAS token or identity may read it"
    if name == "activejobandschedulequotareached":
        return "wait until a job of the account has ended, terminate jobs that are no longer needed, or request a higher quota"
    if name == "diskfull":
        return "use a vmSize with a larger disk, or write less to the disk of the node"
    return None
