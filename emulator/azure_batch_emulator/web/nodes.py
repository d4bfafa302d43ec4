"""Handlers of the node operations."""

from __future__ import annotations

from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.messages import Handler, Reply, Request, after_key, reply_page
from azure_batch_emulator.web.query import select


def list_nodes(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    matches = request.filter(fields.NODES)
    nodes = after_key(pool.nodes.values(), lambda node: node.id, request.query.skip_token())
    return reply_page(
        request,
        "nodes",
        nodes,
        lambda node: node.id,
        lambda node: render.node(request.base_url, node),
        matches=matches,
        known=render.NODE_PROPERTIES,
    )


def get(request: Request) -> Reply:
    node = request.service.node(request.parameters["poolId"], request.parameters["nodeId"])
    paths = request.query.selection(render.NODE_PROPERTIES)
    body = {"odata.metadata": request.metadata("nodes/@Element")} | render.node(request.base_url, node)
    return Reply(select(body, paths))


HANDLERS: dict[str, Handler] = {
    "Nodes_ListNodes": list_nodes,
    "Nodes_GetNode": get,
}
