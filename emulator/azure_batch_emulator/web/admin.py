"""``/emulator/``: what a test wants to know of the emulator and to do to it. Loopback only, no signature.

Every response is JSON. `account` in the query selects an account; the default is the first one.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from azure_batch_emulator.engine.applications import set_application
from azure_batch_emulator.engine.entities import Node
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.engine.transitions import IllegalTransitionError
from azure_batch_emulator.executors.simulated import SimulatedExecutor, SimulationRule
from azure_batch_emulator.schema import orders
from azure_batch_emulator.web.door import Bodies
from azure_batch_emulator.web.exact_json import parse_json
from azure_batch_emulator.web.routes import ROUTES
from azure_batch_emulator.web.server import Server
from azure_batch_emulator.wire.errors import BatchError, resource_error

_QUOTAS = {
    "pools": "pools",
    "activeJobsAndSchedules": "active_jobs_and_schedules",
    "dedicatedCores": "dedicated_cores",
    "lowPriorityCores": "low_priority_cores",
}
Answer = Any
_LOG = logging.getLogger(__name__)


class _NotFoundError(LookupError):
    """No such admin resource."""


async def handle(server: Server, request: web.BaseRequest, raw_path: str, bodies: Bodies) -> web.Response:
    """Handle one admin call."""
    if not _is_local(request.remote):
        return _json({"error": "admin calls are only allowed from this machine"}, 403)
    parts = [unquote(part) for part in raw_path.removeprefix("/emulator").split("/") if part]
    try:
        answer = _dispatch(server, *await _read(server, request, bodies), request.method, parts)
    except _NotFoundError as error:
        return _json({"error": str(error)}, 404)
    except IllegalTransitionError as error:
        return _json({"error": f"the current state does not allow this call: {error}"}, 409)
    except ValueError as error:
        return _json({"error": str(error) or type(error).__name__}, 400)
    except BatchError as error:
        return _json({"error": _text(error), "code": error.code}, error.status)
    except Exception:
        _LOG.exception("%s %s broke the emulator", request.method, raw_path)
        return _json({"error": "internal error of the emulator: see its log"}, 500)
    return _json(answer)


async def _read(server: Server, request: web.BaseRequest, bodies: Bodies) -> tuple[BatchService, dict[str, Any]]:
    """The account that a call is about, and its body."""
    raw = await bodies.read(request)
    try:
        body = parse_json(raw) if raw.strip() else {}
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - a value that the caller sent
    account = request.query.get("account") or next(iter(server.services))
    if account not in server.services:
        raise _NotFoundError(f"account {account!r} does not exist")
    return server.services[account], body


def _text(error: BatchError) -> str:
    """The problem in one line: property, value and reason, as far as they are known."""
    named = [str(error.values[key]) for key in ("PropertyName", "PropertyValue", "Reason") if error.values.get(key)]
    return f"{error.message} {': '.join(named)}".strip()


def _is_local(remote: str | None) -> bool:
    if remote is None:
        return True
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _json(answer: Answer, status: int = 200) -> web.Response:
    body = orjson.dumps(answer, option=orjson.OPT_INDENT_2) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")


def _dispatch(server: Server, service: BatchService, body: dict[str, Any], method: str, parts: list[str]) -> Answer:
    order = (method, *parts)
    for group in (_of_server, _of_account, _of_pool):
        if (answer := group(server, service, body, order)) is not None:
            return answer
    raise _NotFoundError(f"there is no admin call {method} /emulator/{'/'.join(parts)}")


def _of_server(server: Server, service: BatchService, body: dict[str, Any], order: tuple[str, ...]) -> Answer | None:
    """Calls about the process: faults, counters and identities."""
    match order:
        case ("GET",):
            return {"operations": len(ROUTES), "accounts": list(server.services)}
        case ("GET", "counters"):
            return server.counters.as_json()
        case ("DELETE", "counters"):
            server.counters.clear()
            return {}
        case ("GET", "calls"):
            return {"value": server.counters.calls()}
        case ("GET", "faults"):
            return {"value": [rule.as_json() for rule in server.faults.rules.values()]}
        case ("POST", "faults"):
            return server.faults.add(body).as_json()
        case ("DELETE", "faults"):
            server.faults.clear()
            return {}
        case ("DELETE", "faults", rule_id):
            if not (rule_id.isascii() and rule_id.isdigit() and server.faults.clear(int(rule_id[:9]))):
                raise _NotFoundError(f"no fault rule {rule_id}")
            return {}
        case ("POST", "land"):
            return {"landed": server.land()}
        case ("POST", "reset"):
            _reset(server, service)
            return {}
        case ("POST", "save"):
            if server.save is None:
                raise _NotFoundError("there is no state file: start with --state-file")
            server.save()
            return {}
        case ("POST" | "PUT", "identities"):
            return server.entra.register(orders.IDENTITY.accept("", body), service.account)
        case ("DELETE", "identities"):
            server.entra.identities.clear()
            return {}
    return None


def _of_account(server: Server, service: BatchService, body: dict[str, Any], order: tuple[str, ...]) -> Answer | None:
    """Calls about one account."""
    match order:
        case ("GET", "state"):
            return state(service, server)
        case ("GET", "timeline"):
            nodes = (node for pool in service.pool_table.values() for node in pool.nodes.values())
            return service.timeline.as_json(run for node in nodes for run in node.runs.values())
        case ("GET", "quota"):
            return {name: getattr(service.quotas, attribute) for name, attribute in _QUOTAS.items()}
        case ("POST" | "PUT", "quota"):
            _set_quotas(service, body)
            return {name: getattr(service.quotas, attribute) for name, attribute in _QUOTAS.items()}
        case ("POST" | "PUT", "countslag"):
            service.lag.seconds = float(orders.COUNTS_LAG.accept("", body)["seconds"])
            return body
        case ("POST" | "PUT", "simulation"):
            return _set_simulation(service, body)
        case ("POST", "clock"):
            return _set_clock(service, body)
        case ("POST" | "PUT", "key"):
            server.set_key(service.account, orders.KEY.accept("", body)["key"])
            return {}
        case ("POST" | "PUT", "applications", application_id):
            name = orders.APPLICATION_ID.accept("id", application_id)
            return set_application(service, name, orders.APPLICATION.accept("", body))
    return None


def _of_pool(_: Server, service: BatchService, body: dict[str, Any], order: tuple[str, ...]) -> Answer | None:
    """Calls about a pool and its nodes."""
    match order:
        case ("POST", "pools", pool_id, "resizeerror"):
            return _resize_error(service, pool_id, body)
        case ("DELETE", "pools", pool_id, "resizeerror"):
            service.pools.allocation_faults.pop(service.pool(pool_id).id.lower(), None)
            return {}
        case ("POST", "pools", pool_id, "nodes", node_id, "preempt"):
            node = _node(service, pool_id, node_id)
            if node.dedicated:
                raise IllegalTransitionError("only Spot nodes are preempted, and this one is dedicated")
            service.nodes.preempt(node)
            return {}
        case ("POST", "pools", pool_id, "nodes", node_id, "fail"):
            return _fail_node(_node(service, pool_id, node_id), service, body)
    return None


def _reset(server: Server, service: BatchService) -> None:
    """Discard everything except for the accounts."""
    server.faults.clear()
    server.land(lost=True)
    server.counters.clear()
    server.entra.identities.clear()
    server.reset_keys()
    server.storage.clear()
    service.clock.close()
    service.clock.resume()
    service.clock.skew(0.0)
    if isinstance(service.executor, SimulatedExecutor):
        service.executor.rules = []
    for every in server.services.values():
        every.reset()


def state(service: BatchService, server: Server | None = None) -> dict[str, int]:
    """Number of resources of each kind: 0 if nothing is left (blobs are counted for all accounts together)."""
    nodes = [node for pool in service.pool_table.values() for node in pool.nodes.values()]
    counted = {
        "pools": len(service.pool_table),
        "nodes": len(nodes),
        "jobs": len(service.job_table),
        "jobSchedules": len(service.schedule_table),
        "tasks": sum(len(job.tasks) for job in service.job_table.values()),
        "runs": sum(len(node.runs) for node in nodes),
    }
    if server is not None:
        counted["blobs"] = sum(map(len, server.storage.containers.values()))
        counted["heldCalls"] = server.held_calls
    return counted


def _set_quotas(service: BatchService, body: dict[str, Any]) -> None:
    for name, value in orders.QUOTA.accept("", body).items():
        setattr(service.quotas, _QUOTAS[name], value)


def _set_clock(service: BatchService, body: dict[str, Any]) -> Answer:
    """``skewSeconds`` moves the service's idea of the time, ``paused`` stops everything that the service times."""
    order = orders.CLOCK.accept("", body)
    if "skewSeconds" in order:
        service.clock.skew(float(order["skewSeconds"]))
    if order.get("paused") is True:
        service.clock.pause()
    elif order.get("paused") is False:
        service.clock.resume()
    return order


def _set_simulation(service: BatchService, body: dict[str, Any]) -> Answer:
    executor = service.executor
    if not isinstance(executor, SimulatedExecutor):
        raise _NotFoundError("tasks are not simulated here: start with --executor simulated")
    executor.rules = [SimulationRule.from_json(rule) for rule in orders.SIMULATION.accept("", body)["rules"]]
    return {"rules": len(executor.rules)}


def _resize_error(service: BatchService, pool_id: str, body: dict[str, Any]) -> Answer:
    """A sticky error now, and with ``mostNodes`` for every later allocation beyond that number."""
    pool = service.pool(pool_id)
    order = orders.RESIZE_ERROR.accept("", body)
    values = [(item["name"], item["value"]) for item in order.get("values", ())]
    message = order.get("message", "Desired number of dedicated nodes could not be allocated")
    error = resource_error(order.get("code", "AllocationFailed"), message, values)
    pool.resize_errors = [*pool.resize_errors, error]
    if "mostNodes" in order:
        service.pools.allocation_faults[pool.id.lower()] = (order["mostNodes"], error)
    return error


def _node(service: BatchService, pool_id: str, node_id: str) -> Node:
    """A node by id, or by its place in the pool: ``0`` is the first."""
    if node_id.isascii() and node_id.isdigit() and len(node_id) < 10:
        nodes = sorted(service.pool(pool_id).nodes.values(), key=lambda node: node.index)
        if int(node_id) < len(nodes):
            return nodes[int(node_id)]
    return service.node(pool_id, node_id)


def _fail_node(node: Node, service: BatchService, body: dict[str, Any]) -> Answer:
    order = orders.FAIL_NODE.accept("", body)
    service.nodes.fail(node, order["state"], order["code"], order["message"])
    return {"id": node.id, "state": node.state}
