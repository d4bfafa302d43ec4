"""Models of applications, images and certificates."""

from typing import Annotated

from pydantic import Field

from azure_batch_operator.batch.models.base import READ_ONLY, Model, Moment, Open
from azure_batch_operator.batch.models.common import NameValuePair
from azure_batch_operator.batch.models.enums import CertificateFormat, CertificateState, ImageVerificationType, OSType
from azure_batch_operator.batch.models.machines import ImageReference


class Application(Model):
    """An application package of the account."""

    id: str | None = None
    display_name: str | None = None
    versions: list[str] | None = None


class SupportedImage(Model):
    """An image that the service supports, and the node agent that goes with it."""

    node_agent_sku_id: str | None = Field(None, alias="nodeAgentSKUId")
    image_reference: ImageReference | None = None
    os_type: Open[OSType] | None = None
    capabilities: list[str] | None = None
    batch_support_end_of_life: Moment | None = None
    verification_type: Open[ImageVerificationType] | None = None


class DeleteCertificateError(Model):
    """Why a certificate could not be deleted."""

    code: str | None = None
    message: str | None = None
    values: list[NameValuePair] | None = None


class Certificate(Model):
    """A certificate of the account (retired)."""

    thumbprint: str
    thumbprint_algorithm: str
    url: Annotated[str | None, READ_ONLY] = None
    state: Annotated[Open[CertificateState] | None, READ_ONLY] = None
    state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    previous_state: Annotated[Open[CertificateState] | None, READ_ONLY] = None
    previous_state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    public_data: Annotated[str | None, READ_ONLY] = None
    delete_certificate_error: Annotated[DeleteCertificateError | None, READ_ONLY] = None
    data: str | None = Field(None, repr=False)
    certificate_format: Open[CertificateFormat] | None = None
    password: str | None = Field(None, repr=False)
