"""The plugin of kubectl on the quick stage: what `why` prints there, and tasks that fail in ways that only a real node shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kubernetes.aio.client.exceptions import NotFoundException

from azure_batch_emulator.executors.base import RunHandle, RunObserver, RunRequest, RunResult
from azure_batch_kubectl.why_command import answer
from azure_batch_operator.api.kinds import KINDS, Kind
from support.stage import Stage

Body = dict[str, Any]
Prepare = Callable[[Stage], Awaitable[None]]


class StageCluster:
    """The API server of the stage, as the plugin reads it."""

    namespace = "default"

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Body:
        found = self._stage.get(KINDS[kind].plural, name, namespace or self.namespace)
        if not found:
            body = f'{{"message": "{KINDS[kind].plural}.azurebatch.io \\"{name}\\" not found"}}'
            raise NotFoundException(status=404, body=body)
        return found

    async def namespace_phase(self, namespace: str) -> str:
        found: Body = self._stage.get("namespace", namespace, "")
        return str(found["status"]["phase"]) if found else ""

    async def secret(self, namespace: str, name: str) -> Body:
        found = self._stage.get("secret", name, namespace)
        if not found:
            raise NotFoundException(status=404, body='{"message": "the Secret was not found"}')
        data: Body = found["data"]
        return data


async def why(stage: Stage, kind: Kind = Kind.JOB, name: str = "own") -> str:
    """What the plugin prints."""
    return str(await answer(StageCluster(stage), kind, name))  # type: ignore[arg-type]


class _Replaced:
    """Tells the engine another end of a run."""

    def __init__(self, observer: RunObserver, result: RunResult) -> None:
        self._observer, self._result = observer, result

    def on_started(self) -> None:
        if self._result.stage == "upload":
            self._observer.on_started()

    def on_returned(self) -> None:
        self._observer.on_finished(self._result)

    def on_finished(self, result: RunResult) -> None:
        del result
        self._observer.on_finished(self._result)


def fail_run(stage: Stage, run_id: str, code: str, message: str, *, where: str) -> None:
    """Let a task, `job/task`, fail around its command: while its files are brought, at its launch, or in the upload of its output.

    Args:
        where: `preparation`, `launch` or `upload`; in the last case the command itself ends with 0.
    """
    start = stage.azure.executor.start
    result = RunResult(0 if where == "upload" else None, ("UserError", code, message, ()), where)

    def begin(request: RunRequest, observer: RunObserver) -> RunHandle:
        return start(request, _Replaced(observer, result) if request.run_id == run_id else observer)

    stage.azure.executor.start = begin  # type: ignore[method-assign]


@dataclass(frozen=True)
class Trouble:
    """An object, `own`, with a cause to name.

    Attributes:
        says: how the paragraph goes on after kind and name.
        shows: what else it contains: evidence, and what to do.
        silent: what it must not say.
    """

    prepare: Prepare
    says: str
    shows: tuple[str, ...] = ()
    kind: Kind = Kind.JOB
    name: str = "own"
    silent: str = "Nothing is wrong"


async def reached(stage: Stage, kind: str, reason: str, name: str = "own", within: float = 900) -> None:
    """Wait until an object says this."""
    await stage.until(lambda: stage.reason(kind, name) == reason, within, f"{kind}/{name} says {reason}")


async def expect(stage: Stage, trouble: Trouble) -> None:
    """See that the plugin names the cause, and nothing else."""
    await trouble.prepare(stage)
    said = await why(stage, trouble.kind, trouble.name)
    assert said.startswith(f"{trouble.kind} {trouble.name} {trouble.says}")
    for words in trouble.shows:
        assert words in said
    assert trouble.silent not in said
