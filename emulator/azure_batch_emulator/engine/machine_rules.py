"""What a pool may say of its machines beyond the form of its body: images, users, containers, subnets. Pure.

Texts of refusals are the service's own where they are known; where they come from is in docs/emulator-differences.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_emulator.schema.machines import is_windows
from azure_batch_emulator.wire.errors import BatchError, invalid_property


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of a Marketplace image: what it can do, and the node agent that fits it."""

    agent: str
    capabilities: frozenset[str]


Images = Mapping[tuple[str, str, str], Image]
"""The Marketplace images that a pool may use, by publisher, offer and sku in lower case."""


def catalog(supported: Iterable[Mapping[str, Any]], former: Mapping[tuple[str, str, str], str]) -> Images:
    """Images as the checks want them.

    Args:
        supported: items of supportedimages.
        former: images that are not listed any more and still accepted, with their agents; nothing is known of what they can do.
    """
    known = {reference: Image(agent, _EVERYTHING) for reference, agent in former.items()}
    for item in supported:
        known[_key(item["imageReference"])] = Image(item["nodeAgentSKUId"], frozenset(item.get("capabilities", ())))
    return known


_CONTAINERS = "DockerCompatible"
_EVERYTHING = frozenset({_CONTAINERS})


def _key(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    return reference["publisher"].lower(), reference["offer"].lower(), reference["sku"].lower()


def takes_containers(spec: Mapping[str, Any]) -> bool:
    """Whether tasks with container settings can run in a pool."""
    return "containerConfiguration" in spec["virtualMachineConfiguration"]


def check_image(spec: Mapping[str, Any], images: Images | None) -> None:
    """Let a pool with a known image and the agent that fits it pass; any image by its resource id is known.

    Raises:
        BatchError: 404 NodeAgentSKUNotFound, 400 InvalidPropertyValue.
    """
    machine = spec["virtualMachineConfiguration"]
    reference = machine["imageReference"]
    agent = str(machine["nodeAgentSKUId"])
    if images is None:
        return
    if "windowsConfiguration" in machine and not is_windows(spec):
        reason = "windowsConfiguration must not be specified for a Linux image."
        raise BatchError("InvalidPropertyValue", {"PropertyName": "windowsConfiguration", "Reason": reason})
    if agent.lower() not in {image.agent.lower() for image in images.values()}:
        raise BatchError("NodeAgentSKUNotFound")
    if "publisher" not in reference:
        return
    named = f"publisher {reference['publisher']} offer {reference['offer']} sku {reference['sku']}"
    image = images.get(_key(reference))
    if image is None:
        reason = f"The specified imageReference with {named} is not supported."
        raise BatchError("InvalidPropertyValue", {"PropertyName": "imageReference", "Reason": reason})
    if image.agent.lower() != agent.lower():
        reason = f"The specified imageReference with {named} needs the node agent SKU {image.agent}."
        raise invalid_property("nodeAgentSKUId", agent, reason)
    if "containerConfiguration" in machine and _CONTAINERS not in image.capabilities:
        reason = f"The specified imageReference with {named} does not support container feature."
        raise BatchError("InvalidPropertyValue", {"PropertyName": "containerConfiguration", "Reason": reason})


def user_problem(task: Mapping[str, Any], pool: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a task cannot run as the user that it names: a code and a message, None if the pool has that user.

    Args:
        task: body of a task of any kind, or of a start task.
        pool: body of its pool.
    """
    user = task["userIdentity"].get("username")
    if user is None or any(user == account["name"] for account in pool.get("userAccounts", ())):
        return None
    return "TaskSchedulingConstraintFailed", "Task cannot be scheduled on the pool associated with the job"


def check_users(spec: Mapping[str, Any]) -> None:
    """Let user accounts pass that fit the operating system.

    Raises:
        BatchError: 400 InvalidPropertyValue.
    """
    foreign = "linuxUserConfiguration" if is_windows(spec) else "windowsUserConfiguration"
    for account in spec.get("userAccounts", ()):
        if foreign in account:
            reason = (
                f"The user configuration for user account '{account['name']}' has a mismatch with the OS (Windows/Linux) "
                "configuration specified in VirtualMachineConfiguration"
            )
            raise BatchError("InvalidPropertyValue", {"PropertyName": foreign, "Reason": reason})


def check_subnet(network: Mapping[str, Any] | None, subscription: str | None) -> None:
    """Let a subnet pass that is in the account's subscription, if that is known.

    Raises:
        BatchError: 400 InvalidPropertyValue.
    """
    subnet = (network or {}).get("subnetId")
    if subnet is None or subscription is None:
        return
    if subnet.strip("/").split("/")[1].lower() != subscription.lower():
        reason = (
            "The specified subnetId is in a different subscription and cannot be used with the current Batch account in "
            f"subscription {subscription}"
        )
        raise invalid_property("subnetId", subnet, reason)
