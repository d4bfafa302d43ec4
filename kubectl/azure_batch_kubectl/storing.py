"""Creates the objects of `submit`, so that no ConfigMap stays without a job that owns it, whichever answer is lost, and operations.

A call without a response may have been executed, or may be executed later: its object is looked for several times, and it is ours
only with the mark of this run. tests/unit/kubectl/test_storing.py loses each answer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException, NotFoundException

from azure_batch_kubectl import objects
from azure_batch_kubectl.cluster import Cluster, may_be_executed, refusal
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.base import API_VERSION, GROUP
from azure_batch_operator.api.kinds import Kind

MARK = f"{GROUP}/submission"
"""Annotation with a random value for each run."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""As in names that the API server makes: no vowels, so no words."""
PAUSES = (0.0, 1.0, 2.0)
"""Seconds before each look for an object whose creation was not answered."""
_UNANSWERED = (ApiException, aiohttp.ClientError, OSError, FailureError)


def suffix() -> str:
    """The end of a name that nothing else has."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def marked(body: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """An object with the mark of a run."""
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), MARK: mark}}}


class Submission:
    """A job and the ConfigMaps that it reads."""

    def __init__(self, cluster: Cluster, items: Sequence[Mapping[str, Any]], job: Mapping[str, Any]) -> None:
        self._cluster = cluster
        self._mark = secrets.token_hex(8)
        self._items = [marked(item, self._mark) for item in items]
        self._job = marked(job, self._mark)
        self._stored: list[Mapping[str, Any]] = []

    async def store(self) -> Object:
        """Create the objects and say so; the job.

        Raises:
            ApiException: the API server refuses one. Then there is none.
        """
        try:
            for item in self._items:
                await self._cluster.create_config_map(item)
                self._stored.append(item)
            created: Object = await self._cluster.create(Kind.JOB, self._job)
        except BaseException as error:
            found = await self._settled(error)
            if found is None:
                raise
            await self._say(found)
            if not isinstance(error, Exception):
                raise
            return found
        await self._say(created)
        return created

    async def _say(self, job: Object) -> None:
        try:
            # First: whatever follows, the job runs.
            click.echo(f"batchjob.{GROUP}/{objects.name(job)} created")
        finally:
            try:
                await self._hand_over(job)
            except asyncio.CancelledError:
                await self._hand_over(job)
                raise

    async def _hand_over(self, job: Object) -> None:
        """Make the job own the ConfigMaps, so that they go with it."""
        owner = {
            "apiVersion": API_VERSION,
            "kind": Kind.JOB.value,
            "name": objects.name(job),
            "uid": job["metadata"]["uid"],
        }
        for item in self._items:
            name = objects.name(item)
            try:
                await self._cluster.patch_config_map(name, {"metadata": {"ownerReferences": [owner]}})
            except _UNANSWERED as error:
                _warn(
                    f"ConfigMap {name} is not deleted with BatchJob {objects.name(job)}: {_said(error)}: "
                    "delete it after the job"
                )

    async def _settled(self, error: BaseException) -> Object | None:
        """The job if it was created nevertheless; else nothing of this run is left."""
        if may_be_executed(error):
            try:
                if len(self._stored) == len(self._items):
                    if job := await _found(partial(self._cluster.get, Kind.JOB, objects.name(self._job)), self._mark):
                        return job
                else:
                    asked = self._items[len(self._stored)]
                    if await _found(partial(self._cluster.get_config_map, objects.name(asked)), self._mark):
                        self._stored.append(asked)
            except _UNANSWERED as problem:
                names = ", ".join(objects.name(item) for item in self._items[: len(self._stored) + 1])
                also = f", and delete ConfigMap {names} if it is not there" if names else ""
                job_name = objects.name(self._job)
                _warn(f"it is not known whether BatchJob {job_name} was created: {_said(problem)}: look for it{also}")
                return None
        for item in self._stored:
            await self._delete(objects.name(item))
        return None

    async def _delete(self, name: str) -> None:
        try:
            await self._cluster.delete_config_map(name)
        except NotFoundException:
            return
        except _UNANSWERED as error:
            _warn(f"ConfigMap {name} is not deleted: {_said(error)}: delete it, because no BatchJob reads it")


async def create_operation(cluster: Cluster, body: Mapping[str, Any]) -> str:
    """Create a BatchOperation of which only the beginning of the name is given; its name.

    The rest is made here, and not by the API server: so what was created can be found if its answer is lost or not waited for.

    Raises:
        ApiException: the API server refuses it. Then there is none.
    """
    metadata = {name: value for name, value in body["metadata"].items() if name != "generateName"}
    name, mark = f"{body['metadata']['generateName']}{suffix()}", secrets.token_hex(8)
    operation = marked({**body, "metadata": {**metadata, "name": name}}, mark)
    try:
        return objects.name(await cluster.create(Kind.OPERATION, operation))
    except BaseException as error:
        if not may_be_executed(error):
            raise
        try:
            found = await _found(partial(cluster.get, Kind.OPERATION, name), mark)
        except _UNANSWERED as problem:
            _warn(f"it is not known whether BatchOperation {name} was created: {_said(problem)}: look for it")
            raise error from None
        if found is None:
            raise
        if isinstance(error, Exception):
            return name
        _warn(f"BatchOperation {name} was created and continues: kubectl azure-batch terminate bop/{name} stops it")
        raise


async def _found(read: Callable[[], Awaitable[Object]], mark: str) -> Object | None:
    """What reading an object finds, if it is of this run."""
    failure: Exception | None = None
    for pause in PAUSES:
        await asyncio.sleep(pause)
        try:
            found = await read()
        except NotFoundException:
            failure = None
        except _UNANSWERED as error:
            failure = error
        else:
            return found if (found["metadata"].get("annotations") or {}).get(MARK) == mark else None
    if failure is not None:
        raise failure
    return None


def _said(error: Exception) -> str:
    return refusal(error) if isinstance(error, ApiException) else str(error) or type(error).__name__


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)
