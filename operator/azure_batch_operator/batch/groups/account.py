"""Images, application packages and the retired certificates of the account."""

from collections.abc import Sequence
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group
from azure_batch_operator.batch.requests import CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt


class Account(Group):
    """Properties of the account itself."""

    def list_supported_images(self, *, filter: str | None = None, **options: Unpack[PageOptions]) -> Listing:
        """List the virtual machine images that the service supports, each with its node agent."""
        return self._caller.listing("Pools_ListSupportedImages", {}, options, {"$filter": filter})


class Applications(Group):
    """Application packages that nodes can use."""

    def list(self, **options: Unpack[PageOptions]) -> Listing:
        """List applications with their versions."""
        return self._caller.listing("Applications_ListApplications", {}, options)

    async def get(self, application_id: str, **options: Unpack[CallOptions]) -> JsonObject:
        """Get one application with its versions."""
        return await self._caller.object("Applications_GetApplication", {"applicationId": application_id}, options)


class Certificates(Group):
    """Certificates of the account; the service has retired them and refuses to create any (`RetiredError`)."""

    def list(
        self, *, filter: str | None = None, select: Sequence[str] | None = None, **options: Unpack[PageOptions]
    ) -> Listing:
        """List the certificates of the account, at most 100 per page."""
        return self._caller.listing("Certificates_ListCertificates", {}, options, detail(select, filter=filter))

    async def create(self, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Add a certificate."""
        return await self._caller.receipt("Certificates_CreateCertificate", {}, options, body=body)

    async def get(
        self,
        thumbprint_algorithm: str,
        thumbprint: str,
        *,
        select: Sequence[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> JsonObject:
        """Get one certificate."""
        arguments = {"thumbprintAlgorithm": thumbprint_algorithm, "thumbprint": thumbprint}
        return await self._caller.object("Certificates_GetCertificate", arguments, options, query={"$select": select})

    async def delete(self, thumbprint_algorithm: str, thumbprint: str, **options: Unpack[CallOptions]) -> Receipt:
        """Begin to delete a certificate."""
        arguments = {"thumbprintAlgorithm": thumbprint_algorithm, "thumbprint": thumbprint}
        return await self._caller.receipt("Certificates_DeleteCertificate", arguments, options)

    async def cancel_deletion(
        self, thumbprint_algorithm: str, thumbprint: str, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Take back a deletion that failed."""
        arguments = {"thumbprintAlgorithm": thumbprint_algorithm, "thumbprint": thumbprint}
        return await self._caller.receipt("Certificates_CancelCertificateDeletion", arguments, options)
