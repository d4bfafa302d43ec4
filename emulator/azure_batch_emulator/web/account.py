"""Handlers of what belongs to the account as a whole: applications, images, usage, and the retired certificates."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine import pool_rules
from azure_batch_emulator.schema.images import SUPPORTED_IMAGES
from azure_batch_emulator.web import fields
from azure_batch_emulator.web.messages import Handler, Reply, Request, after_key, reply_page
from azure_batch_emulator.wire.errors import BatchError, invalid_query
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp, parse_timestamp

_MINUTE = 60 * TICKS_PER_SECOND
_HALF_HOUR = 30 * _MINUTE
# Usage is known two hours late, and its first interval begins half an hour before that.
_USAGE_DELAY = 120 * _MINUTE


def list_applications(request: Request) -> Reply:
    found = after_key(
        request.service.applications.values(), lambda application: application["id"], request.query.skip_token(str)
    )
    fragment = "listapplicationsummariesresponses"
    return reply_page(request, fragment, found, lambda application: application["id"], lambda application: application)


def get_application(request: Request) -> Reply:
    application = request.service.applications.get(request.parameters["applicationId"].lower())
    if application is None:
        raise BatchError("ApplicationNotFound")
    return Reply({"odata.metadata": request.metadata("listapplicationsummariesresponses/@Element")} | application)


def supported_images(request: Request) -> Reply:
    matches = request.filter(fields.SUPPORTED_IMAGES)
    token = request.query.skip_token(int)
    numbered = after_key(enumerate(SUPPORTED_IMAGES), lambda pair: pair[0], token)
    return reply_page(
        request,
        "supportedimages",
        numbered,
        lambda pair: pair[0],
        lambda pair: pair[1],
        matches=(lambda pair: matches(pair[1])) if matches else None,
    )


def usage_metrics(request: Request) -> Reply:
    matches = request.filter(fields.POOL_USAGE)
    now = request.service.clock.now()
    last = (now - _USAGE_DELAY) // _HALF_HOUR * _HALF_HOUR
    start = _moment(request, "startTime", now - _USAGE_DELAY - _HALF_HOUR, last - _HALF_HOUR)
    end = _moment(request, "endtime", now - _USAGE_DELAY, last)
    items = []
    for pool in request.service.pool_table.values():
        cores = pool_rules.cores_of(pool.spec["vmSize"])
        used = sum(max(0, end - max(start, node.allocated)) for node in pool.nodes.values()) * cores
        if used:
            items.append(
                {
                    "poolId": pool.id,
                    "startTime": format_timestamp(start),
                    "endTime": format_timestamp(end),
                    "vmSize": pool.spec["vmSize"],
                    "totalCoreHours": used / TICKS_PER_SECOND / 3600,
                }
            )
    found = after_key(items, lambda item: item["poolId"], request.query.skip_token(str))
    return reply_page(
        request, "poolusagemetrics", found, lambda item: item["poolId"], lambda item: item, matches=matches
    )


def _moment(request: Request, name: str, latest: int, default: int) -> int:
    text = request.query.get(name.lower())
    if text is None:
        return default
    try:
        ticks = parse_timestamp(text)
    except ValueError:
        raise invalid_query(name, text, "The value is not a valid timestamp.") from None
    if ticks > latest:
        raise invalid_query(name, text, "Usage of that time is not available yet.")
    return ticks


def certificates(request: Request) -> Reply:
    """Every certificate call: the feature is retired (docs/azure-batch.md#certificates)."""
    del request
    reason: Any = "The certificate APIs are no longer supported; use Azure Key Vault and the node's managed identity."
    raise BatchError("CertificateRetired", {"Reason": reason})


HANDLERS: dict[str, Handler] = {
    "Applications_ListApplications": list_applications,
    "Applications_GetApplication": get_application,
    "Pools_ListSupportedImages": supported_images,
    "Pools_ListPoolUsageMetrics": usage_metrics,
    "Certificates_ListCertificates": certificates,
    "Certificates_CreateCertificate": certificates,
    "Certificates_GetCertificate": certificates,
    "Certificates_DeleteCertificate": certificates,
    "Certificates_CancelCertificateDeletion": certificates,
}
