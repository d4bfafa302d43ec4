"""The desired state of a BatchPool in Azure Batch: its size, and the body of its creation.

The operator's own members of the spec are turned into REST here: a profile into a formula, a missing node agent into the one
that the account supports for the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from azure_batch_operator.api.pool import PoolSpec as PoolModel
from azure_batch_operator.batch.account_wire import ImageReference, SupportedImage
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.wire import Body, build
from azure_batch_operator.reconcile.pool import formulas as pool_formulas
from azure_batch_operator.reconcile.pool.spec import PoolSpec
from azure_batch_operator.words import counted, listed

TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")
_SIZE = frozenset({*TARGETS, "resizeTimeout", "enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval"})
SERVICE_INTERVAL = "PT15M"
"""How often the service evaluates a formula if nobody says otherwise (docs/azure-batch.md#defaults)."""


@dataclass(frozen=True)
class Fixed:
    """Numbers of nodes; a target that is None is left as it is."""

    dedicated: int | None
    low_priority: int | None

    def over(self, pool: Pool) -> dict[str, int]:
        """Both targets, those that are left alone as in Azure Batch."""
        found = targets_of(pool)
        wanted = zip(TARGETS, (self.dedicated, self.low_priority), strict=True)
        return {name: found[name] if number is None else number for name, number in wanted}


@dataclass(frozen=True)
class Formula:
    """A formula decides; `written` is whether the operator wrote it."""

    text: str
    interval: str
    written: bool = False


Size = Fixed | Formula


def targets_of(pool: Pool) -> dict[str, int]:
    """Both targets of a pool, by their names in bodies."""
    return dict(zip(TARGETS, (pool.target_dedicated_nodes, pool.target_low_priority_nodes), strict=True))


def size_of(spec: PoolSpec) -> Size:
    """Which size the spec asks for."""
    if spec.enable_auto_scale:
        return Formula(spec.auto_scale_formula, spec.auto_scale_evaluation_interval or SERVICE_INTERVAL)
    if (profile := spec.auto_scale_profile) is not None:
        interval = profile.evaluation_interval or pool_formulas.DEFAULT_INTERVAL
        return Formula(pool_formulas.of_profile(profile, spec.task_slots_per_node), interval, written=True)
    dedicated, low_priority = spec.target_dedicated_nodes, spec.target_low_priority_nodes
    if spec.max_idle:
        text = pool_formulas.idle_guard(dedicated or 0, low_priority or 0, spec.max_idle)
        return Formula(text, pool_formulas.DEFAULT_INTERVAL, written=True)
    return Fixed(dedicated, low_priority)


def size_of_spec(spec: Body) -> Size:
    """Which size a whole spec asks for."""
    return size_of(build(PoolSpec, spec))


def body_of(id: str, spec: Body, agent: str | None) -> dict[str, Any]:
    """The body that the pool is created from, without the marker of its owner.

    Args:
        agent: the node agent, where the spec leaves it out.
    """
    rest = {name: value for name, value in PoolModel.rest_body(spec).items() if name not in _SIZE}
    match size_of_spec(spec):
        case Formula(text, interval):
            size: dict[str, Any] = {
                "enableAutoScale": True, "autoScaleFormula": text, "autoScaleEvaluationInterval": interval,
            }  # fmt: skip
        case Fixed():
            size = {name: spec[name] for name in (*TARGETS, "resizeTimeout") if name in spec}
    return {"id": id} | with_agent(rest, agent) | size


def with_agent(body: Body, agent: str | None) -> dict[str, Any]:
    """The body with a node agent, if it has none."""
    if agent is None or build(PoolSpec, body).virtual_machine_configuration.node_agent_sku_id:
        return dict(body)
    machine: Body = body.get("virtualMachineConfiguration") or {}
    return dict(body) | {"virtualMachineConfiguration": dict(machine) | {"nodeAgentSKUId": agent}}


@dataclass(frozen=True)
class Image:
    """What the account says of the image of a pool.

    Attributes:
        agent: the node agent to use; None if the spec names one, or if there is none.
        end_of_life: when its support ends, as the service writes it.
        problem: why no node agent can be chosen.
    """

    agent: str | None = None
    end_of_life: str | None = None
    problem: str | None = None


def image_of(spec: PoolSpec, kept: Image | None, images: Sequence[SupportedImage] | None) -> Image | None:
    """Choose the node agent, and look up the support of the image.

    Args:
        kept: the node agent of the pool, if it has the image already (`changes.kept_image`).
        images: what the account supports; None if that is not known yet.

    Returns:
        None if the images must be known first.
    """
    machine = spec.virtual_machine_configuration
    reference, agent = machine.image_reference, machine.node_agent_sku_id
    if not reference.publisher:
        return Image()
    if images is None:
        return kept if agent is None else Image() if agent else None
    fitting = [image for image in images if _is_of(image, reference)]
    end = next((ends for image in fitting if (ends := image.batch_support_end_of_life)), None)
    if agent is not None:
        return Image(None, end)
    if kept is not None:
        return replace(kept, end_of_life=end)
    if not fitting:
        return Image(problem=_unsupported(reference, images))
    verified = [image for image in fitting if (image.verification_type or "").lower() == "verified"]
    return Image((verified or fitting)[0].node_agent_sku_id or "", end)


def _is_of(supported: SupportedImage, reference: ImageReference) -> bool:
    known = zip(supported.image_reference.names, reference.names, strict=True)
    return all(name.lower() == wanted.lower() for name, wanted in known)


def _unsupported(reference: ImageReference, images: Sequence[SupportedImage]) -> str:
    name, offer = " ".join(reference.names), reference.names[1].lower()
    offers = [(image.image_reference.names[1].lower(), str(image.image_reference.sku)) for image in images]
    close = sorted(sku for other, sku in offers if other == offer)
    number = len({other for other, _ in offers})
    hint = (
        f"; of this offer it supports {listed(close[:5])}"
        if close
        else f"; it supports {counted(number, 'offer')}, see status.supportedImages of the BatchAccount"
    )
    return (
        f"Azure Batch supports no image {name}{hint}: correct "
        "spec.virtualMachineConfiguration.imageReference, or set nodeAgentSKUId"
    )
