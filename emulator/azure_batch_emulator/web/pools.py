"""Handlers of the pool operations."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.entities import Pool
from azure_batch_emulator.schema import pools as schema
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.messages import Handler, HeldError, Reply, Request, after_key, reply_page
from azure_batch_emulator.web.query import select

_NO_CERTIFICATES: dict[str, Any] = {"certificateReferences": []}


def create(request: Request) -> Reply:
    body = request.json(schema.POOL)
    pool = request.service.pools.create(body["id"], body)
    url = render.pool_url(request.base_url, pool.id)
    return Reply(modified=pool.last_modified, location=url, data_service_id=url)


def get(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    paths = request.query.selection(render.POOL_PROPERTIES)
    body = {"odata.metadata": request.metadata("pools/@Element")} | render.pool(request.base_url, pool)
    if request.query.expands_stats():
        body["stats"] = request.service.statistics.pool(request.base_url, pool)
    return Reply(select(body, paths), modified=pool.last_modified)


def exists(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    return Reply(modified=pool.last_modified)


def list_pools(request: Request) -> Reply:
    matches = request.filter(fields.POOLS)
    stats = request.query.expands_stats()
    service = request.service

    def item(pool: Pool) -> dict[str, Any]:
        body = render.pool(request.base_url, pool)
        return body | {"stats": service.statistics.pool(request.base_url, pool)} if stats else body

    pools = after_key(service.pool_table.values(), lambda pool: pool.id, request.query.skip_token(str))
    return reply_page(
        request, "pools", pools, lambda pool: pool.id, item, matches=matches, known=render.POOL_PROPERTIES
    )


def update(request: Request) -> Reply:
    body = request.json(schema.POOL_UPDATE, partial=True)
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.pools.patch(pool, body)
    return Reply(modified=pool.last_modified, data_service_id=True)


def replace_properties(request: Request) -> Reply:
    body = request.json(schema.POOL_REPLACE, filled={} if request.version.certificates_required else _NO_CERTIFICATES)
    pool = request.service.pool(request.parameters["poolId"])
    if not pool.settled:
        # Recorded: on a pool just created the write comes right after the steady transition (docs/azure-batch.md#changes).
        raise HeldError(pool.when_settled.append)
    request.service.pools.replace_properties(pool, body)
    return Reply(modified=pool.last_modified, data_service_id=True)


def delete(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.pools.delete(pool)
    return Reply()


def resize(request: Request) -> Reply:
    body = request.json(schema.RESIZE)
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.pools.resize(pool, body)
    return Reply(modified=pool.last_modified, data_service_id=True)


def stop_resize(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.pools.stop_resize(pool)
    return Reply(modified=pool.last_modified, data_service_id=True)


def remove_nodes(request: Request) -> Reply:
    body = request.json(schema.REMOVE_NODES)
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.pools.remove_nodes(pool, body)
    return Reply(modified=pool.last_modified, data_service_id=True)


def enable_auto_scale(request: Request) -> Reply:
    body = request.json(schema.ENABLE_AUTO_SCALE)
    pool = request.service.pool(request.parameters["poolId"])
    request.check_conditions(pool.last_modified)
    request.service.auto_scale.enable(pool, body)
    return Reply(modified=pool.last_modified, data_service_id=True)


def disable_auto_scale(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    request.service.auto_scale.disable(pool)
    return Reply(modified=pool.last_modified, data_service_id=True)


def evaluate_auto_scale(request: Request) -> Reply:
    body = request.json(schema.EVALUATE_AUTO_SCALE)
    pool = request.service.pool(request.parameters["poolId"])
    record = request.service.auto_scale.try_formula(pool, body["autoScaleFormula"])
    fragment = "Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun"
    return Reply({"odata.metadata": request.metadata(fragment)} | record, data_service_id=True)


def node_counts(request: Request) -> Reply:
    matches = request.filter(fields.NODE_COUNTS)
    pools = after_key(request.service.pool_table.values(), lambda pool: pool.id, request.query.skip_token(str))
    return reply_page(request, "poolnodecounts", pools, lambda pool: pool.id, render.node_counts, matches=matches)


HANDLERS: dict[str, Handler] = {
    "Pools_CreatePool": create,
    "Pools_GetPool": get,
    "Pools_PoolExists": exists,
    "Pools_ListPools": list_pools,
    "Pools_UpdatePool": update,
    "Pools_ReplacePoolProperties": replace_properties,
    "Pools_DeletePool": delete,
    "Pools_ResizePool": resize,
    "Pools_StopPoolResize": stop_resize,
    "Pools_RemoveNodes": remove_nodes,
    "Pools_EnablePoolAutoScale": enable_auto_scale,
    "Pools_DisablePoolAutoScale": disable_auto_scale,
    "Pools_EvaluatePoolAutoScale": evaluate_auto_scale,
    "Pools_ListPoolNodeCounts": node_counts,
}
