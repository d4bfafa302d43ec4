"""Handlers of the node operations."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.entities import Node
from azure_batch_emulator.schema import nodes as schema
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.messages import Handler, Reply, Request, after_key, reply_page
from azure_batch_emulator.web.query import select
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp

_DAY = 86_400 * TICKS_PER_SECOND
_LOGIN_PORTS = (22, 3389)
_FIRST_LOGIN_PORT = 50_000
_NO_REIMAGE = "Operation reimage can be invoked only on pools created with cloudServiceConfiguration"


def list_nodes(request: Request) -> Reply:
    pool = request.service.pool(request.parameters["poolId"])
    matches = request.filter(fields.NODES)
    nodes = after_key(pool.nodes.values(), lambda node: node.id, request.query.skip_token(str))
    return reply_page(
        request,
        "nodes",
        nodes,
        lambda node: node.id,
        lambda node: render.node(request.base_url, node),
        matches=matches,
        known=render.NODE_PROPERTIES,
    )


def _find(request: Request) -> Node:
    return request.service.node(request.parameters["poolId"], request.parameters["nodeId"])


def get(request: Request) -> Reply:
    node = _find(request)
    paths = request.query.selection(render.NODE_PROPERTIES)
    body = {"odata.metadata": request.metadata("nodes/@Element")} | render.node(request.base_url, node)
    return Reply(select(body, paths))


def reboot(request: Request) -> Reply:
    body = request.optional_json(schema.REBOOT)
    request.service.nodes.act(_find(request), "reboot", body["nodeRebootOption"])
    return Reply(data_service_id=True)


def reimage(request: Request) -> Reply:
    if not request.version.reimages_machines:
        raise BatchError("OperationNotValidOnNode", {"Reason": _NO_REIMAGE})
    body = request.optional_json(schema.REIMAGE)
    request.service.nodes.act(_find(request), "reimage", body["nodeReimageOption"])
    return Reply(data_service_id=True)


def deallocate(request: Request) -> Reply:
    body = request.optional_json(schema.DEALLOCATE)
    request.service.nodes.act(_find(request), "deallocate", body["nodeDeallocateOption"])
    return Reply(data_service_id=True)


def start(request: Request) -> Reply:
    request.service.nodes.start(_find(request))
    return Reply(data_service_id=True)


def disable_scheduling(request: Request) -> Reply:
    body = request.optional_json(schema.DISABLE_SCHEDULING)
    request.service.nodes.disable_scheduling(_find(request), body["nodeDisableSchedulingOption"])
    return Reply(data_service_id=True)


def enable_scheduling(request: Request) -> Reply:
    request.service.nodes.enable_scheduling(_find(request))
    return Reply(data_service_id=True)


# -- users --


def _remember(request: Request, node: Node, name: str, body: dict[str, Any]) -> None:
    """Keep what can be asked for: never the password or key."""
    default = format_timestamp(request.service.clock.now() + _DAY)
    node.users[name.lower()] = {"name": name, "expiryTime": body.get("expiryTime", default)}


def create_user(request: Request) -> Reply:
    body = request.json(schema.USER)
    node = _find(request)
    request.service.nodes.check_ready(node)
    if body["name"].lower() in node.users:
        raise BatchError("NodeUserExists")
    _remember(request, node, body["name"], body)
    url = request.url("pools", node.pool.id, "nodes", node.id, "users", body["name"])
    return Reply(location=url, data_service_id=url)


def _user(request: Request) -> tuple[Node, str]:
    node = _find(request)
    request.service.nodes.check_ready(node)
    name = request.parameters["userName"]
    if name.lower() not in node.users:
        raise BatchError("NodeUserNotFound")
    return node, name


def replace_user(request: Request) -> Reply:
    body = request.json(schema.USER_UPDATE)
    node, name = _user(request)
    _remember(request, node, name, body)
    return Reply(data_service_id=True)


def delete_user(request: Request) -> Reply:
    node, name = _user(request)
    del node.users[name.lower()]
    return Reply()


# -- looking in --


def remote_login(request: Request) -> Reply:
    node = _find(request)
    login = next((point for point in render.endpoints(node) if point["backendPort"] in _LOGIN_PORTS), None)
    port = login["frontendPort"] if login else _FIRST_LOGIN_PORT + node.index
    fragment = "Microsoft.Azure.Batch.Protocol.Entities.RemoteLoginSettings"
    body = {
        "odata.metadata": request.metadata(fragment),
        "remoteLoginIPAddress": "127.0.0.1",
        "remoteLoginPort": port,
    }
    return Reply(body, data_service_id=True)


def upload_logs(request: Request) -> Reply:
    body = request.json(schema.UPLOAD_LOGS)
    node = _find(request)
    service = request.service
    tag = f"{service.random.getrandbits(64):016X}"
    folder = f"{service.account}-{tag}/{node.pool.id}/{node.id}/{request.request_id}"
    log = "".join(
        f"{format_timestamp(moment)} {text}\n"
        for moment, text in (
            (node.allocated, "allocated"),
            (node.boot_time or node.allocated, "booted"),
            (node.state_time, f"state {node.state}"),
        )
    )
    sent = service.executor.upload(body["containerUrl"], {f"{folder}/agent-debug.log": log.encode()})
    fragment = "Microsoft.Azure.Batch.Protocol.Entities.UploadBatchServiceLogsResult"
    return Reply(
        {"odata.metadata": request.metadata(fragment), "virtualDirectoryName": folder, "numberOfFilesUploaded": sent}
    )


def _extensions(node: Node) -> list[dict[str, Any]]:
    """The pool's extensions and after them the service's own one, as they stand on a node (recorded)."""
    own = {
        "name": "batchNodeExtension",
        "publisher": "Microsoft.Azure.Extensions",
        "type": "CustomScript",
        "typeHandlerVersion": "2.0",
        "autoUpgradeMinorVersion": True,
    }
    state = "Creating" if node.boot_time is None else "Succeeded"
    machine = node.pool.spec["virtualMachineConfiguration"]
    return [
        {
            "provisioningState": state,
            "instanceView": _instance_view(extension["name"]) if node.boot_time is not None else {},
            "vmExtension": {"autoUpgradeMinorVersion": False, "enableAutomaticUpgrade": False} | extension,
        }
        for extension in (*machine.get("extensions", ()), own)
    ]


def _instance_view(name: str) -> dict[str, Any]:
    """Recorded: the level of a status is a number on the wire, though the API document has words."""
    status = {
        "code": "ProvisioningState/succeeded",
        "level": 0,
        "displayStatus": "Provisioning succeeded",
        "message": "Plugin enabled",
    }
    return {"name": name, "statuses": [status]}


def list_extensions(request: Request) -> Reply:
    def place(numbered: tuple[int, dict[str, Any]]) -> int:
        return numbered[0]

    found = after_key(enumerate(_extensions(_find(request))), place, request.query.skip_token(int))
    return reply_page(request, "extensions", found, place, lambda numbered: numbered[1])


def get_extension(request: Request) -> Reply:
    wanted = request.parameters["extensionName"].lower()
    for item in _extensions(_find(request)):
        if item["vmExtension"]["name"].lower() == wanted:
            body = {"odata.metadata": request.metadata("extensions/@Element")} | item
            return Reply(select(body, request.query.selection()))
    raise BatchError("ResourceNotFound")


HANDLERS: dict[str, Handler] = {
    "Nodes_ListNodes": list_nodes,
    "Nodes_GetNode": get,
    "Nodes_RebootNode": reboot,
    "Nodes_ReimageNode": reimage,
    "Nodes_DeallocateNode": deallocate,
    "Nodes_StartNode": start,
    "Nodes_DisableNodeScheduling": disable_scheduling,
    "Nodes_EnableNodeScheduling": enable_scheduling,
    "Nodes_CreateNodeUser": create_user,
    "Nodes_ReplaceNodeUser": replace_user,
    "Nodes_DeleteNodeUser": delete_user,
    "Nodes_GetNodeRemoteLoginSettings": remote_login,
    "Nodes_UploadNodeLogs": upload_logs,
    "Nodes_ListNodeExtensions": list_extensions,
    "Nodes_GetNodeExtension": get_extension,
}
