"""What an account supports and contains, as typed values."""

from __future__ import annotations

from msgspec import field

from azure_batch_operator.batch.wire import Moment, Wire


class ImageReference(Wire, frozen=True, gc=False):
    """The image of nodes; only one of the Marketplace has a publisher."""

    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None

    @property
    def names(self) -> tuple[str, str, str]:
        """What the images that an account supports are found by."""
        return self.publisher or "", self.offer or "", self.sku or ""


class SupportedImage(Wire, frozen=True, gc=False):
    """An image that nodes of the account can run, with the node agent that goes with it."""

    node_agent_sku_id: str | None = field(default=None, name="nodeAgentSKUId")
    image_reference: ImageReference = ImageReference()
    os_type: str | None = None
    verification_type: str | None = None
    batch_support_end_of_life: Moment | None = None


class Application(Wire, frozen=True, gc=False):
    """An application whose packages can be installed on nodes."""

    id: str = ""
    display_name: str | None = None
    versions: tuple[str, ...] = ()
