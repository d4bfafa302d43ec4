"""An account as JSON, and back: what the optional state file holds.

What was in progress when the picture was taken is settled on the way back, as the service would after a breakdown of its
own: running tasks are requeued, nodes that were starting start again, deletions and terminations are finished. What was still to
come is done: a resize goes on or is stopped, nodes that waited for their tasks or data act, jobs end that a failed task has ended.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict
from typing import Any

from azure_batch_emulator.engine.compact import ended
from azure_batch_emulator.engine.entities import (
    COMING_NODE_STATES,
    Counts,
    Job,
    JobSchedule,
    JobTaskRecord,
    Node,
    Pool,
    Subtask,
    Task,
)
from azure_batch_emulator.engine.lag import Lagging
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.engine.shared_bodies import folded

VERSION = 1
_POOL_NAMES = """id spec created last_modified state_time allocation_time target_dedicated target_low_priority state
 allocation_state resize_timeout resize_errors communication_mode node_serial enable_auto_scale
 auto_scale_formula auto_scale_interval auto_scale_run"""
_NODE_NAMES = """id index dedicated ip_address allocated state_time state scheduling_enabled boot_time tasks_run
 tasks_succeeded packages start_task start_task_info errors users after_drain awaits_retention"""
_JOB_NAMES = """id spec created last_modified state_time start_time pool_id state previous_state previous_state_time
 end_time terminate_reason scheduling_error disable_option schedule_id auto_pool left_pool reaction"""
_SELDOM = (
    "retry_count",
    "requeue_count",
    "last_retry",
    "last_requeue",
    "windows",
    "files_gone",
    "waiting",
    "is_job_manager",
)
_TASK_NAMES = """id created last_modified state_time state previous_state previous_state_time start_time end_time exit_code
 result failure node_id node_pool_id"""
_RECORD_NAMES = """job_id pool_id node_id preparation release prepared failed tries"""
_SCHEDULE_NAMES = """id spec created last_modified state_time state previous_state previous_state_time job_serial
 recent_job_id next_run end_time due due_at auto_pool_id auto_pool_kept"""
_POOL = tuple(_POOL_NAMES.split())
_NODE = tuple(_NODE_NAMES.split())
_JOB = tuple(_JOB_NAMES.split())
_TASK = (*_TASK_NAMES.split(), *_SELDOM)
_RECORD = tuple(_RECORD_NAMES.split())
_SCHEDULE = tuple(_SCHEDULE_NAMES.split())
_WORKING = frozenset({"idle", "running", "offline"})
# What these come back from, they come back from as new.
_MADE_ANEW = frozenset({"reimaging", "preempted"})


def _take(entity: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in names}


# -- taking the picture --


def dump(service: BatchService) -> dict[str, Any]:
    """Everything an account has, as JSON values."""
    return {
        "version": VERSION,
        "applications": service.applications,
        "pools": [
            _take(pool, _POOL)
            | {"nodes": [_node(node, service.clock.service_seconds()) for node in pool.nodes.values()]}
            for pool in service.pool_table.values()
        ],
        "jobs": [_job(service, job) for job in service.job_table.values()],
        "schedules": [_take(schedule, _SCHEDULE) for schedule in service.schedule_table.values()],
    }


def _node(node: Node, now: float) -> dict[str, Any]:
    left = max(0.0, node.retained_until - now)
    # JSON has no infinity: null is forever.
    return _take(node, _NODE) | {"recent": list(node.recent_tasks), "retained": left if left < math.inf else None}


def _task(service: BatchService, task: Task) -> dict[str, Any]:
    left = service.files.left(task)
    # Those of a try that is in progress go with it.
    subtasks = [asdict(subtask) for subtask in task.subtasks or ()] if task.run is None else []
    more = ({"left": left} if left is not None else {}) | ({"subtasks": subtasks} if subtasks else {})
    return _take(task, _TASK) | {"spec": task.body} | more


def _job(service: BatchService, job: Job) -> dict[str, Any]:
    return _take(job, _JOB) | {
        # While the emulator is down, the limit does not run.
        "ran": service.limits.reading() - job.limit_since,
        "tasks": [_task(service, task) for task in job.tasks.values()],
        "ready": [task.id for task in job.ready],
        "satisfied": job.dependencies.satisfied(),
        "records": [_record(service, job, record) for record in job.job_task_records],
    }


def _record(service: BatchService, job: Job, record: JobTaskRecord) -> dict[str, Any]:
    node = _node_of(service, record)
    # A node that was made again since has nothing to do with it any more.
    own = node is not None and node.job_tasks.get(job.id.lower()) is record
    return _take(record, _RECORD) | {"node_state": node.state if node is not None and own else None}


def _node_of(service: BatchService, record: JobTaskRecord) -> Node | None:
    pool = service.pool_table.get(record.pool_id.lower())
    return pool.nodes.get(record.node_id) if pool else None


# -- bringing it back --


def load(service: BatchService, picture: dict[str, Any]) -> None:
    """Fill an empty account.

    Raises:
        ValueError: the picture is of another version.
    """
    if picture.get("version") != VERSION:
        raise ValueError(f"the state is of version {picture.get('version')}, this emulator reads version {VERSION}")
    service.applications.update(picture["applications"])
    for body in picture["pools"]:
        if body["state"] != "deleting":
            _load_pool(service, body)
    for body in picture["schedules"]:
        own = body["spec"]["jobSpecification"]["poolInfo"].get("autoPoolSpecification", {})
        # Older pictures do not say.
        schedule = JobSchedule(**({"auto_pool_kept": own.get("keepAlive", False)} | body))
        service.schedule_table[schedule.id.lower()] = schedule
    for body in picture["jobs"]:
        _load_job(service, body)
    for schedule in list(service.schedule_table.values()):
        service.schedules.resume(schedule)
    for pool in service.pool_table.values():
        # Whether there is data to wait for, only the jobs tell.
        for node in pool.nodes.values():
            service.nodes.resume(node)
        service.scheduler.wake(pool)


def _load_pool(service: BatchService, body: dict[str, Any]) -> None:
    nodes = body.pop("nodes")
    pool = Pool(past=Lagging(service.lag), **body)
    service.pool_table[pool.id.lower()] = pool
    for item in nodes:
        if item["state"] == "leavingpool":
            continue
        recent, retained = item.pop("recent"), item.pop("retained", 0.0)
        # Older pictures do not say.
        node = Node(pool=pool, **({"packages": pool.spec.get("applicationPackageReferences", [])} | item))
        node.retained_until = service.clock.service_seconds() + (math.inf if retained is None else retained)
        # What ran is in the queue again.
        past = [entry | ({"state": "active"} if entry["state"] == "running" else {}) for entry in recent]
        node.recent_tasks = deque(past, maxlen=10)
        pool.nodes[node.id] = node
        service.executor.add_node(service.place(node))
        if node.state in _WORKING:
            node.state = "idle" if node.scheduling_enabled else "offline"
        elif node.state == "deallocating":
            node.state = "deallocated"
        elif node.state in COMING_NODE_STATES:
            if node.state in _MADE_ANEW:
                service.nodes.wipe(node)
            service.nodes.come_up(node)
    service.pools.resume(pool)


def _load_job(service: BatchService, body: dict[str, Any]) -> None:
    tasks, ready = body.pop("tasks"), body.pop("ready")
    satisfied, records = body.pop("satisfied"), body.pop("records")
    now = service.clock.now()
    limit_since = service.limits.reading() - body.pop("ran", 0.0)
    job = Job(past=Lagging(service.lag), limit_since=limit_since, **body)
    service.job_table[job.id.lower()] = job
    job.counts, job.slot_counts = Counts(), Counts()
    for parent in satisfied:
        job.dependencies.satisfy(parent)
    queue = {task_id.lower(): place for place, task_id in enumerate(ready)}
    waiting: list[tuple[int, Task]] = []
    for item in tasks:
        body = item.pop("spec")
        seldom, left = {name: item.pop(name) for name in _SELDOM}, item.pop("left", None)
        subtasks = [Subtask(**subtask) for subtask in item.pop("subtasks", ())]
        exit_code, result, failure = (item.pop(name) for name in ("exit_code", "result", "failure"))
        task = Task(job=job, command_line=body["commandLine"], spec=service.tasks.shared(job, body), **item)
        for name, value in seldom.items():
            setattr(task, name, value)
        if subtasks:
            task.subtasks = subtasks
        if result is not None:
            task.ended = ended(exit_code, failure)
        key = folded(task.id)
        if task.state in ("preparing", "running"):
            task.state, task.state_time = "active", now
            task.start_time = task.node_id = task.node_pool_id = None
            task.requeue_count += 1
            task.last_requeue = now
        job.tasks[key] = task
        job.tasks_in_order.add(task)
        job.count(task, 1)
        service.task_ages.added(job, task.created)
        if left is not None:
            service.files.remove_later(task, left)
        if task.state == "active":
            if task.waiting:
                job.dependencies.add(key, task.spec["dependsOn"])
            else:
                waiting.append((queue.get(key, -1), task))
    for _, task in sorted(waiting, key=lambda pair: pair[0]):
        job.ready.append(task)
    for item in records:
        _load_record(service, job, item)
    service.jobs.resume(job)


def _load_record(service: BatchService, job: Job, body: dict[str, Any]) -> None:
    # Older pictures do not say.
    state = body.pop("node_state", "idle")
    record = JobTaskRecord(**body)
    job.job_task_records.append(record)
    service.job_tasks.resume(record)
    node = _node_of(service, record)
    if node is not None and state is not None and state not in _MADE_ANEW:
        node.job_tasks[job.id.lower()] = record
        if state == "rebooting":
            service.job_tasks.rebooted(record)
