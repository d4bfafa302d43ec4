"""Responses of Azure Batch as typed values, decoded directly from the bytes of a page.

A struct has the members that the operator reads. Other members are skipped and no value is made of them, so a page of tasks costs
a tenth of what it costs as dicts (docs/decisions/0034-typed-responses.md). A page with a member of another type than the API
documents is read as JSON instead: `batch.responses` leaves that member out and logs it, and `build` makes the same structs of
what is left.
tests/unit/batch/test_wire.py compares both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from azure_batch_operator.batch.redaction import safe_text

_DATE = (
    r"(?!0000)(?:[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Moment = Annotated[str, Meta(pattern=rf"\A{_DATE}T{_CLOCK}{_ZONE}\Z")]
"""A time as the service writes it, with up to seven digits; statuses show the text unchanged."""
Duration = Annotated[
    str,
    Meta(
        pattern=r"\A-?P(?!\Z)(?:[0-9]{1,9}Y)?(?:[0-9]{1,9}M)?(?:[0-9]{1,9}W)?(?:[0-9]{1,9}D)?"
        r"(?:T(?!\Z)(?:[0-9]{1,12}H)?(?:[0-9]{1,12}M)?(?:[0-9]{1,12}(?:[.,][0-9]{1,9})?S)?)?\Z"
    ),
]


Body: TypeAlias = Mapping[str, Any]
"""Free JSON: an object that is sent to Azure Batch, compared with what Azure Batch has, or stored in a status.

Code handles its members by name, whatever they are. A decision reads a member from a struct (`convert`, `build`).
"""


class Prose(str):
    """A text for people, which others have written: made safe to show where it is read."""

    __slots__ = ()


class Wire(Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """A JSON object of the API. Absent members are None, as are null ones."""


class NameValue(Wire, frozen=True, gc=False):
    """A detail of an error inside a resource."""

    name: Prose | None = None
    value: Prose | None = None


class Failure(Wire, frozen=True, gc=False):
    """Why a task failed, or why a job could not start."""

    category: str | None = None
    code: str | None = None
    message: Prose | None = None
    details: tuple[NameValue, ...] = ()


class TaskFailure(Failure, frozen=True, gc=False):
    """Why a task failed."""


class TaskExecution(Wire, frozen=True, gc=False):
    """The last run of a task; retries and requeues are counted separately."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    exit_code: Whole | None = None
    failure_info: TaskFailure | None = None
    retry_count: Whole | None = None
    requeue_count: Whole | None = None
    result: str | None = None

    @property
    def has_started(self) -> bool:
        """Whether a task that has ended was ever run; otherwise it has neither member (docs/azure-batch.md#tasks)."""
        return self.start_time is not None or self.exit_code is not None

    @property
    def failure(self) -> TaskFailure:
        """Why it failed; empty if unknown."""
        return self.failure_info or _NO_FAILURE


class TaskNode(Wire, frozen=True, gc=False):
    """Where a task ran."""

    pool_id: str | None = None
    node_id: str | None = None


class TaskConstraints(Wire, frozen=True, gc=False):
    """Limits of a task."""

    max_wall_clock_time: Duration | None = None
    retention_time: Duration | None = None
    max_task_retry_count: Whole | None = None


class EnvironmentSetting(Wire, frozen=True, gc=False):
    """An environment variable of a task."""

    name: str | None = None
    value: str | None = None


class Task(Wire, frozen=True, gc=False):
    """A task as lists show it."""

    id: Annotated[str, Meta(min_length=1)]
    etag: str | None = field(default=None, name="eTag")
    creation_time: Moment | None = None
    state: str | None = None
    state_transition_time: Moment | None = None
    execution_info: TaskExecution | None = None
    node_info: TaskNode | None = None
    constraints: TaskConstraints | None = None
    environment_settings: tuple[EnvironmentSetting, ...] = ()

    @property
    def execution(self) -> TaskExecution:
        """Its last run; empty if unknown."""
        return self.execution_info or NO_EXECUTION


class ResourceState(Wire, frozen=True, gc=False):
    """Identity, version and state of a pool, job, job schedule or task."""

    id: str = ""
    etag: str | None = field(default=None, name="eTag")
    creation_time: Moment | None = None
    state: str | None = None


class NodeError(Wire, frozen=True, gc=False):
    """An error of a node."""

    code: str | None = None
    message: Prose | None = None
    error_details: tuple[NameValue, ...] = ()


class StartTaskInfo(Wire, frozen=True, gc=False):
    """The run of the start task on a node."""

    exit_code: Whole | None = None
    failure_info: TaskFailure | None = None


class Node(Wire, frozen=True, gc=False):
    """A node as lists show it."""

    id: Annotated[str, Meta(min_length=1)]
    state: str | None = None
    state_transition_time: Moment | None = None
    last_boot_time: Moment | None = None
    is_dedicated: bool | None = None
    errors: tuple[NodeError, ...] = ()
    start_task_info: StartTaskInfo | None = None

    @property
    def since(self) -> str:
        """When it entered its state; empty if unknown."""
        return self.state_transition_time or ""


class TaskCounts(Wire, frozen=True, gc=False):
    """Numbers of the tasks, or of the task slots, of a job by state; they lag (docs/azure-batch.md#jobs)."""

    active: Whole = 0
    running: Whole = 0
    completed: Whole = 0
    succeeded: Whole = 0
    failed: Whole = 0


class TaskCountsResult(Wire, frozen=True, gc=False):
    """The response to `Jobs_GetJobTaskCounts`."""

    task_counts: TaskCounts
    task_slot_counts: TaskCounts | None = None


NO_COUNTS = TaskCounts()
_NO_FAILURE = TaskFailure()
NO_EXECUTION = TaskExecution()

W = TypeVar("W", bound=Wire)


class Page(Struct, Generic[W], frozen=True):
    """A page of a list. A response without `value` is none: by default it would be an empty one, and so the end of the list."""

    value: list[W]
    link: str | None = field(default=None, name="odata.nextLink")


@cache
def attributes(struct: type[Wire], members: tuple[str, ...]) -> tuple[str, ...]:
    """Attributes of a struct that are None where a response lacks one of these members."""
    return tuple(
        item.name for item in msgspec.structs.fields(struct) if item.encode_name in members and item.default is None
    )


@cache
def _decoder(struct: type[W]) -> msgspec.json.Decoder[Page[W]]:
    return msgspec.json.Decoder(Page[struct], dec_hook=_custom)  # type: ignore[valid-type]


def decode_page(struct: type[W], body: bytes) -> Page[W] | None:
    """The items of a page; None if it does not match the API."""
    try:
        return _decoder(struct).decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _custom(type: type, value: Any) -> Any:
    if type is Prose and value.__class__ is str:
        return Prose(safe_text(value))
    raise ValueError("not a text")


def build(struct: type[W], value: Mapping[str, Any]) -> W:
    """A struct from a JSON object of which every member is known to have its type (`shapes.conform`)."""
    found = {
        name: item if read is None else read(item)
        for name, key, read in _members(struct)
        if (item := value.get(key)) is not None
    }
    return struct(**found)


def convert(struct: type[W], value: Mapping[str, Any]) -> W:
    """As `build`, in a tenth of its time; for structs without free bodies, of which it would make copies."""
    try:
        return msgspec.convert(value, struct)
    except (msgspec.ValidationError, UnicodeError):
        # A null, an enum, whose type nobody has checked, or a name that is no Unicode.
        return build(struct, value)


@cache
def _members(struct: type[Wire]) -> tuple[tuple[str, str, Callable[[Any], Any] | None], ...]:
    hints = get_type_hints(struct)
    fields = msgspec.structs.fields(struct)
    return tuple((each.name, each.encode_name, _reader(hints[each.name])) for each in fields)


def _tuple_of(struct: type[W], values: Iterable[Body]) -> tuple[W, ...]:
    # The list of pools is read without a check of what belongs to somebody else.
    return tuple(build(struct, each) for each in values if isinstance(each, Mapping))


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    """Conversion of a member from JSON; None if none is needed."""
    for each in (hint, *get_args(hint)):
        if get_origin(each) is tuple:
            item = get_args(each)[0]
            return tuple if item is str else partial(_tuple_of, item)
        if isinstance(each, type) and issubclass(each, Wire):
            return partial(build, each)
        if each is Prose:
            return Prose
    return None
