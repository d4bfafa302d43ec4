"""``/emulator/``: what a test wants to know of the emulator and to do to it. Loopback only, no signature.

Every answer is JSON. `account` in the query chooses an account; without it the first one is meant.
"""

from __future__ import annotations

import base64
import ipaddress
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from azure_batch_emulator.engine.transitions import IllegalTransitionError
from azure_batch_emulator.executors.simulated import SimulatedExecutor, SimulationRule
from azure_batch_emulator.web.routes import ROUTES
from azure_batch_emulator.wire.errors import BatchError, resource_error

if TYPE_CHECKING:
    from azure_batch_emulator.engine.entities import Node
    from azure_batch_emulator.engine.service import BatchService
    from azure_batch_emulator.web.server import Server

_QUOTAS = {
    "pools": "pools",
    "activeJobsAndSchedules": "active_jobs_and_schedules",
    "dedicatedCores": "dedicated_cores",
    "lowPriorityCores": "low_priority_cores",
}
Answer = Any


class _NotFoundError(LookupError):
    """No such admin resource."""


async def handle(server: Server, request: web.Request, raw_path: str) -> web.Response:
    """Answer one admin call."""
    if not _is_local(request.remote):
        return _json({"error": "the admin calls are open to this machine only"}, 403)
    parts = [unquote(part) for part in raw_path.removeprefix("/emulator").split("/") if part]
    try:
        raw = await request.read()
        body = orjson.loads(raw) if raw.strip() else {}
        if not isinstance(body, dict):
            raise TypeError("the body must be a JSON object")
        account = request.query.get("account") or next(iter(server.services))
        if account not in server.services:
            raise _NotFoundError(f"no account {account}")
        answer = _dispatch(server, server.services[account], request.method, parts, body)
    except _NotFoundError as error:
        return _json({"error": str(error)}, 404)
    except IllegalTransitionError as error:
        return _json({"error": f"the present state does not allow that: {error}"}, 409)
    except KeyError as error:
        return _json({"error": f"the body needs {error.args[0]}"}, 400)
    except (ValueError, TypeError) as error:
        return _json({"error": str(error) or type(error).__name__}, 400)
    except BatchError as error:
        return _json({"error": error.message, "code": error.code}, error.status)
    return _json(answer)


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


def _dispatch(server: Server, service: BatchService, method: str, parts: list[str], body: dict[str, Any]) -> Answer:
    match (method, *parts):
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
            if not server.faults.clear(int(rule_id)):
                raise _NotFoundError(f"no fault rule {rule_id}")
            return {}
        case ("POST", "land"):
            return {"landed": server.land()}
        case ("GET", "state"):
            return state(service, server)
        case ("POST", "reset"):
            server.faults.clear()
            server.land(lost=True)
            server.counters.clear()
            server.entra.identities.clear()
            server.storage.clear()
            service.clock.close()
            service.clock.resume()
            service.clock.skew(0.0)
            for every in server.services.values():
                every.reset()
            return {}
        case ("POST", "save"):
            if server.save is None:
                raise _NotFoundError("there is no state file: start with --state-file")
            server.save()
            return {}
        case ("GET", "quota"):
            return {name: getattr(service.quotas, attribute) for name, attribute in _QUOTAS.items()}
        case ("POST" | "PUT", "quota"):
            _set_quotas(service, body)
            return {name: getattr(service.quotas, attribute) for name, attribute in _QUOTAS.items()}
        case ("POST" | "PUT", "countslag"):
            service.lag.seconds = _seconds(body["seconds"])
            return body
        case ("POST" | "PUT", "simulation"):
            return _set_simulation(service, body)
        case ("POST", "clock"):
            return _set_clock(service, body)
        case ("POST" | "PUT", "key"):
            server.set_key(service.account, base64.b64decode(body["key"], validate=True))
            return {}
        case ("POST" | "PUT", "identities"):
            return server.entra.register(body, service.account)
        case ("DELETE", "identities"):
            server.entra.identities.clear()
            return {}
        case ("POST" | "PUT", "applications", application_id):
            return _set_application(service, application_id, body)
        case ("POST", "pools", pool_id, "resizeerror"):
            return _resize_error(service, pool_id, body)
        case ("DELETE", "pools", pool_id, "resizeerror"):
            service.pools.allocation_faults.pop(service.pool(pool_id).id.lower(), None)
            return {}
        case ("POST", "pools", pool_id, "nodes", node_id, "preempt"):
            service.nodes.preempt(_node(service, pool_id, node_id))
            return {}
        case ("POST", "pools", pool_id, "nodes", node_id, "fail"):
            return _fail_node(_node(service, pool_id, node_id), service, body)
        case _:
            raise _NotFoundError(f"no admin call {method} /emulator/{'/'.join(parts)}")


def state(service: BatchService, server: Server | None = None) -> dict[str, int]:
    """How many of everything there are: all 0 when nothing is left behind (blobs are counted over all accounts)."""
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


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError("seconds must be a number that is not negative")
    return seconds


def _set_quotas(service: BatchService, body: dict[str, Any]) -> None:
    unknown = sorted(set(body) - set(_QUOTAS))
    if unknown:
        raise ValueError(f"no quota {', '.join(unknown)}; there are {', '.join(_QUOTAS)}")
    for name, value in body.items():
        setattr(service.quotas, _QUOTAS[name], int(value))


def _set_clock(service: BatchService, body: dict[str, Any]) -> Answer:
    """``skewSeconds`` moves the service's idea of the time, ``paused`` stops everything that the service times."""
    unknown = sorted(set(body) - {"skewSeconds", "paused"})
    if unknown:
        raise ValueError(f"the clock has no {', '.join(unknown)}; it has skewSeconds and paused")
    if "skewSeconds" in body:
        service.clock.skew(float(body["skewSeconds"]))
    if body.get("paused") is True:
        service.clock.pause()
    elif body.get("paused") is False:
        service.clock.resume()
    return body


def _set_simulation(service: BatchService, body: dict[str, Any]) -> Answer:
    executor = service.executor
    if not isinstance(executor, SimulatedExecutor):
        raise _NotFoundError("tasks are not simulated here: start with --executor simulated")
    executor.rules = [SimulationRule.from_json(rule) for rule in body.get("rules", [])]
    return {"rules": len(executor.rules)}


def _set_application(service: BatchService, application_id: str, body: dict[str, Any]) -> Answer:
    versions = [str(version) for version in body.get("versions", [])]
    entry = {"id": application_id, "displayName": str(body.get("displayName", application_id)), "versions": versions}
    service.applications[application_id.lower()] = dict(entry)
    return entry


def _resize_error(service: BatchService, pool_id: str, body: dict[str, Any]) -> Answer:
    """A sticky error now, and with ``mostNodes`` for every later allocation beyond that number."""
    pool = service.pool(pool_id)
    values = [(str(item["name"]), str(item["value"])) for item in body.get("values", [])]
    message = body.get("message", "Desired number of dedicated nodes could not be allocated")
    error = resource_error(str(body.get("code", "AllocationFailed")), str(message), values)
    pool.resize_errors = [*pool.resize_errors, error]
    if "mostNodes" in body:
        service.pools.allocation_faults[pool.id.lower()] = (int(body["mostNodes"]), error)
    return error


def _node(service: BatchService, pool_id: str, node_id: str) -> Node:
    """A node by id, or by its place in the pool: ``0`` is the first."""
    if node_id.isdigit():
        nodes = sorted(service.pool(pool_id).nodes.values(), key=lambda node: node.index)
        if int(node_id) < len(nodes):
            return nodes[int(node_id)]
    return service.node(pool_id, node_id)


def _fail_node(node: Node, service: BatchService, body: dict[str, Any]) -> Answer:
    new_state = str(body.get("state", "unusable"))
    if new_state not in ("unusable", "starttaskfailed", "unknown"):
        raise ValueError("state must be unusable, starttaskfailed or unknown")
    code, message = str(body.get("code", "NodeUnusable")), str(body.get("message", "The node was made to fail."))
    service.nodes.fail(node, new_state, code, message)
    return {"id": node.id, "state": node.state}
