"""Every operation on a pool or node, in each state; test_states.py explains the tables."""

from __future__ import annotations

import pytest

from support.state_tables import Build, Call, Table, a_task, call, on_node, then, tried
from support.still_service import POOL, StillService

# -- pools --

POOL_LEGEND = {
    "R": "PoolBeingResized",
    "D": "PoolBeingDeleted",
    "E": "PoolExists",
    "N": "OperationNotValidOnPool",
}
POOLS = Table.read(
    """
                 empty  resizing  stopping  nodes  scaled  deleting
    get          200:r  200:r     200:r     200:r  200:r   200:r
    head         200:r  200:i     200:i     200:i  200:i   200:i
    list-nodes   200:r  200:r     200:i     200:r  200:r   200:i
    patch        200:r  200:r     200:i     200:r  200:i   D:d
    patch-size   200:r  N:i       N:i       N:d    200:i   D:d
    properties   204:r  204:r     204:i     204:r  204:i   D:d
    resize       202:r  R:d       R:d       202:r  N:d     D:d
    stop         N:i    202:r     202:i     N:i    N:i     D:d
    remove       -      -         -         202:r  -       D:d
    autoscale    200:r  R:d       R:d       200:r  200:d   D:d
    fixed        200:i  200:i     200:i     200:i  200:r   D:d
    evaluate     N:d    N:d       N:d       N:d    200:r   D:d
    delete       202:r  202:d     202:i     202:r  202:i   D:d
    create       E:r    E:i       E:i       E:i    E:i     D:d
    """,
    POOL_LEGEND,
)
FORMULA = {"autoScaleFormula": "$TargetDedicatedNodes = 0;"}
_KEPT = {"metadata": [], "certificateReferences": [], "applicationPackageReferences": []}


def _resizing(stage: StillService) -> None:
    stage.steady_pool()
    stage.must("POST", "/pools/pool/resize", {"targetDedicatedNodes": 2})


def _stopping(stage: StillService) -> None:
    _resizing(stage)
    stage.must("POST", "/pools/pool/stopresize")


def _scaled(stage: StillService) -> None:
    stage.steady_pool()
    stage.must("POST", "/pools/pool/enableautoscale", FORMULA)
    stage.clock.advance(60)
    stage.until_pool("steady")


def _deleting(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.must("DELETE", "/pools/pool")


POOL_STATES: dict[str, Build] = {
    "empty": StillService.steady_pool,
    "resizing": _resizing,
    "stopping": _stopping,
    "nodes": lambda stage: stage.steady_pool(1),
    "scaled": _scaled,
    "deleting": _deleting,
}
POOL_CALLS: dict[str, Call] = {
    "get": call("GET", "/pools/pool"),
    "head": call("HEAD", "/pools/pool"),
    "list-nodes": call("GET", "/pools/pool/nodes"),
    "patch": call("PATCH", "/pools/pool", {"metadata": [{"name": "a", "value": "b"}]}),
    "patch-size": call("PATCH", "/pools/pool", {"vmSize": "standard_d4s_v3"}),
    "properties": call("POST", "/pools/pool/updateproperties", _KEPT),
    "resize": call("POST", "/pools/pool/resize", {"targetDedicatedNodes": 3}),
    "stop": call("POST", "/pools/pool/stopresize"),
    "remove": lambda stage: str(
        stage.call("POST", "/pools/pool/removenodes", {"nodeList": [stage.node_path.rpartition("/")[2]]})
    ),
    "autoscale": call("POST", "/pools/pool/enableautoscale", FORMULA),
    "fixed": call("POST", "/pools/pool/disableautoscale"),
    "evaluate": call("POST", "/pools/pool/evaluateautoscale", FORMULA),
    "delete": call("DELETE", "/pools/pool"),
    "create": call("POST", "/pools", {"id": "POOL", **POOL}),
}


@pytest.mark.parametrize("state", POOLS.cells)
def test_pools(state: str) -> None:
    assert tried(POOL_STATES, POOL_CALLS, state, POOLS.cells[state]) == POOLS.cells[state]


# -- nodes --

NODE_LEGEND = {
    "C": "NodeBeingCreated",
    "S": "NodeBeingStarted",
    "B": "NodeBeingRebooted",
    "I": "NodeBeingReimaged",
    "U": "NodeStateUnusable",
    "X": "OperationNotValidOnNode",
    "A": "NodeAlreadyInTargetSchedulingState",
}
# Abbreviated: waiting and failed are those of the start task, leaving is leavingpool.
NODES = Table.read(
    """
                 creating  starting  waiting  failed  idle   running  offline
    get          200:r     200:r     200:r    200:r   200:r  200:r    200:r
    get-login    200:i     200:i     200:i    200:i   200:r  200:i    200:i
    list-ext     200:r     200:i     200:i    200:i   200:r  200:i    200:i
    list-files   C:i       200:i     200:i    200:d   200:r  200:r    200:i
    reboot       C:d       S:d       S:i      202:d   202:r  202:d    202:i
    reimage      C:d       S:d       S:i      202:i   202:r  202:d    202:i
    deallocate   C:d       202:r     202:i    X:i     202:d  202:d    202:i
    start        C:d       S:d       S:i      X:d     X:d    X:d      X:d
    disable      C:i       S:i       S:i      X:i     200:r  200:d    A:d
    enable       A:d       A:d       A:d      A:d     A:d    A:d      200:d
    create-user  C:d       S:d       S:i      X:d     201:r  201:d    201:i
    """,
    NODE_LEGEND,
).beside(
    """
                 rebooting  reimaging  deallocating  deallocated  preempted  leaving  unusable  unknown
    get          200:r      200:r      200:r       200:r        200:i      200:i    200:i     200:i
    get-login    200:i      200:i      200:i       200:i        200:i      200:i    200:i     200:i
    list-ext     200:i      200:i      200:i       200:i        200:i      200:i    200:i     200:i
    list-files   200:i      200:i      200:i       X:i          X:i        200:i    200:i     200:i
    reboot       B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    reimage      B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    deallocate   B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    start        B:d        I:d        X:d         202:r        X:d        X:d      U:d       X:d
    disable      B:i        I:i        X:i         X:i          X:i        X:i      U:i       X:i
    enable       A:d        A:d        200:i       200:i        A:d        A:d      A:d       A:d
    create-user  B:d        I:d        X:d         X:d          X:d        X:d      U:d       X:d
    """,
    NODE_LEGEND,
)


def _node_after(path: str, state: str, body: object = None) -> Build:
    def build(stage: StillService) -> None:
        stage.steady_pool(1)
        stage.must("POST", f"{stage.node_path}/{path}", body)
        stage.until_node(state)

    return build


def _coming(state: str, command: str | None = None) -> Build:
    def build(stage: StillService) -> None:
        start = {"startTask": {"commandLine": command}} if command is not None else {}
        stage.must("POST", "/pools", {"id": "pool", **POOL, "targetDedicatedNodes": 1, **start})
        stage.until_node(state)

    return build


def _running(stage: StillService) -> None:
    then(a_task("sleep 1000"), "running")(stage)


def _leaving(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.must("POST", "/pools/pool/resize", {"targetDedicatedNodes": 0})


def _broken(state: str) -> Build:
    def build(stage: StillService) -> None:
        stage.steady_pool(1)
        stage.fail_node(state)

    return build


def _preempted(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.preempt_node()


NODE_STATES: dict[str, Build] = {
    "creating": _coming("creating"),
    "starting": _coming("starting"),
    "waiting": _coming("waitingforstarttask", "sleep 1000"),
    "failed": _coming("starttaskfailed", "exit 1"),
    "idle": lambda stage: stage.steady_pool(1),
    "running": _running,
    "offline": _node_after("disablescheduling", "offline"),
    "rebooting": _node_after("reboot", "rebooting"),
    "reimaging": _node_after("reimage", "reimaging"),
    "deallocating": _node_after("deallocate", "deallocating"),
    "deallocated": _node_after("deallocate", "deallocated"),
    "preempted": _preempted,
    "leaving": _leaving,
    "unusable": _broken("unusable"),
    "unknown": _broken("unknown"),
}
NODE_CALLS: dict[str, Call] = {
    "get": on_node("GET", ""),
    "get-login": on_node("GET", "/remoteloginsettings"),
    "list-ext": on_node("GET", "/extensions"),
    "list-files": on_node("GET", "/files"),
    "reboot": on_node("POST", "/reboot"),
    "reimage": on_node("POST", "/reimage"),
    "deallocate": on_node("POST", "/deallocate"),
    "start": on_node("POST", "/start"),
    "disable": on_node("POST", "/disablescheduling"),
    "enable": on_node("POST", "/enablescheduling"),
    "create-user": on_node("POST", "/users", {"name": "ann", "password": "Aa1!aaaa"}),
}


@pytest.mark.parametrize("state", NODES.cells)
def test_nodes(state: str) -> None:
    assert tried(NODE_STATES, NODE_CALLS, state, NODES.cells[state]) == NODES.cells[state]
