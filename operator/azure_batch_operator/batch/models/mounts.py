"""File systems that nodes mount."""

from pydantic import Field

from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.models.common import NodeIdentityReference


class AzureBlobFileSystemConfiguration(Model):
    """A blob container to mount; one of key, SAS and identity."""

    account_name: str
    container_name: str
    account_key: str | None = Field(None, repr=False)
    sas_key: str | None = Field(None, repr=False)
    blobfuse_options: str | None = None
    relative_mount_path: str
    identity_reference: NodeIdentityReference | None = None


class NfsMountConfiguration(Model):
    """An NFS share to mount."""

    source: str
    relative_mount_path: str
    mount_options: str | None = None


class CifsMountConfiguration(Model):
    """A CIFS share to mount."""

    username: str
    source: str
    relative_mount_path: str
    mount_options: str | None = None
    password: str | None = Field(None, repr=False)


class AzureFileShareConfiguration(Model):
    """An Azure file share to mount."""

    account_name: str
    azure_file_url: str
    account_key: str | None = Field(None, repr=False)
    relative_mount_path: str
    mount_options: str | None = None


class MountConfiguration(Model):
    """A file system to mount: exactly one of the four."""

    azure_blob_file_system_configuration: AzureBlobFileSystemConfiguration | None = None
    nfs_mount_configuration: NfsMountConfiguration | None = None
    cifs_mount_configuration: CifsMountConfiguration | None = None
    azure_file_share_configuration: AzureFileShareConfiguration | None = None
