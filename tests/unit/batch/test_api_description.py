"""Operation table and models against the published description of the API and against the official client's models.

The description is stored as `tests/data/api-2024-07-01.20.0.json`, made by `dev/api_digest.py`. Nothing may be missing
and nothing invented, operation by operation and property by property. What the official client does not have yet is in
`NEWER_THAN_THE_CLIENT`.
"""

import datetime
import enum
import inspect
import json
import types
import typing
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from azure.batch._model_base import Model as SdkModel
from azure.batch._model_base import _RestField
from azure.batch._operations._operations import BatchClientOperationsMixin
from azure.batch.models import _enums, _models

from azure_batch_operator.batch import OPERATIONS, BatchClient, SharedKey
from azure_batch_operator.batch.models import BODIES, RESULTS, Int64, Model, WireEnum
from azure_batch_operator.batch.models.base import READ_ONLY
from azure_batch_operator.batch.operations import SERVICE_VERSION, Body, Conditions, Operation, ResponseKind

FILE = Path("tests") / "data" / f"api-{SERVICE_VERSION}.json"
DIGEST = json.loads((Path(__file__).parents[3] / FILE).read_text(encoding="utf-8"))
SHAPES = DIGEST["shapes"]
COMMON = {"api-version", "timeOut", "client-request-id", "return-client-request-id", "ocp-date"}
ALL = list(OPERATIONS.values())


def _id(operation: Operation) -> str:
    return operation.id


def test_the_same_77_operations_in_the_same_order() -> None:
    assert list(OPERATIONS) == list(DIGEST["operations"])
    assert len(OPERATIONS) == 77


@pytest.mark.parametrize("operation", ALL, ids=_id)
def test_the_table_agrees_with_the_description(operation: Operation) -> None:
    described = DIGEST["operations"][operation.id]
    assert (operation.verb, operation.path) == (described["verb"], described["path"])
    assert operation.success == tuple(int(status) for status in described["responses"])
    parameters = set(described["parameters"]) - COMMON
    placeholders = {part.split("}")[0] for part in operation.path.split("{")[1:]}
    headers = set(operation.conditions.value) | ({"ocp-range"} if operation.ranged else set())
    assert parameters == placeholders | headers | set(operation.query)
    assert set(described["parameters"]) >= COMMON
    assert (operation.body is Body.NONE) == (described["body"] is None)


@pytest.mark.parametrize("operation", ALL, ids=_id)
def test_responses_are_of_the_described_kind(operation: Operation) -> None:
    schema = next(iter(DIGEST["operations"][operation.id]["responses"].values()))["schema"]
    kinds = {
        ResponseKind.RECEIPT: schema is None,
        ResponseKind.EXISTENCE: schema is None,
        ResponseKind.PROPERTIES: schema is None,
        ResponseKind.STREAM: schema == "file",
        ResponseKind.OBJECT: isinstance(schema, int) and "odata.nextLink" not in SHAPES[schema],
        # The list of subtasks is the only one that is never split.
        ResponseKind.PAGE: isinstance(schema, int)
        and ("odata.nextLink" in SHAPES[schema] or operation.id == "Tasks_ListSubTasks"),
    }
    assert kinds[operation.response]


@pytest.mark.parametrize("operation", ALL, ids=_id)
async def test_every_operation_is_a_method_with_its_parameters(operation: Operation) -> None:
    client = BatchClient("http://127.0.0.1:1", SharedKey("a", "a2V5"))
    method = getattr(getattr(client, operation.group), operation.method)
    signature = inspect.signature(method)
    names = set(signature.parameters)
    known = {
        "$filter": "filter",
        "$select": "select",
        "$expand": "expand",
        "startTime": "start_time",
        "endtime": "end_time",
    }
    assert {known.get(name, name) for name in operation.query if name != "maxresults"} <= names
    options = set(typing.get_type_hints(method)["options"].__args__[0].__annotations__)
    assert ("max_results" in options) == ("maxresults" in operation.query)
    assert ("if_match" in options) == (operation.conditions is Conditions.ALL)
    assert ("if_modified_since" in options) == (operation.conditions is not Conditions.NONE)
    body = signature.parameters.get("body", signature.parameters.get("tasks"))
    assert (body is None) == (operation.body is Body.NONE)
    assert body is None or (body.default is None) == (operation.body is Body.OPTIONAL)
    assert ("range" in names) == operation.ranged
    await client.aclose()


def test_there_is_a_model_for_every_body_and_every_result() -> None:
    assert set(BODIES) == {operation.id for operation in ALL if operation.body is not Body.NONE}
    assert set(RESULTS) == {
        operation.id for operation in ALL if operation.response in (ResponseKind.OBJECT, ResponseKind.PAGE)
    }


def _plain(annotation: Any) -> Any:
    """An annotation without None and Annotated."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        enums = [kind for kind in map(_plain, kinds) if inspect.isclass(kind) and issubclass(kind, enum.Enum)]
        return enums[0] if enums else _plain(kinds[0])
    return annotation


def _is_int64(annotation: Any) -> bool:
    return annotation == Int64 or Int64 in typing.get_args(annotation)


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "object"}


def _shape_of(kind: Any) -> Any:
    """An annotation in the words of the digest, where an array of enums is one of strings."""
    if _is_int64(kind):
        return "string"
    kind = _plain(kind)
    if typing.get_origin(kind) is list:
        item = _shape_of(typing.get_args(kind)[0])
        return ["string" if item == "enum" else item]
    if typing.get_origin(kind) is dict:
        return "object"
    if inspect.isclass(kind) and issubclass(kind, Model):
        return {field.alias: _shape_of(_hint(kind, name)) for name, field in kind.model_fields.items()}
    if inspect.isclass(kind) and issubclass(kind, WireEnum):
        return "enum"
    if kind in (datetime.datetime, datetime.timedelta):
        return "string"
    return _TYPES[kind]


def _hint(model: type[Model], name: str) -> Any:
    return typing.get_type_hints(model, include_extras=True)[name]


def _described(shape: Any) -> Any:
    if isinstance(shape, int):
        return {name: _described(member) for name, member in SHAPES[shape].items()}
    if isinstance(shape, list):
        return [_described(shape[0])]
    return shape


def _unlike(model: Any, described: Any, path: str) -> Iterator[str]:
    """Where a model differs from the description, one line for each property."""
    if isinstance(model, list) and isinstance(described, list):
        yield from _unlike(model[0], described[0], f"{path}[]")
    elif isinstance(model, dict) and isinstance(described, dict):
        for name in sorted(model.keys() | described.keys()):
            if name not in described:
                yield f"{path}.{name}: only in batch/models, not in {FILE}"
            elif name not in model:
                yield f"{path}.{name}: only in {FILE}, not in batch/models"
            else:
                yield from _unlike(model[name], described[name], f"{path}.{name}")
    elif model != described:
        yield f"{path}: {model} in batch/models, {described} in {FILE}"


@pytest.mark.parametrize("operation", sorted(BODIES))
def test_models_of_bodies_have_the_described_properties(operation: str) -> None:
    described = _described(DIGEST["operations"][operation]["body"])
    assert list(_unlike(_shape_of(BODIES[operation]), described, operation)) == []


@pytest.mark.parametrize("operation", sorted(RESULTS))
def test_models_of_results_have_the_described_properties(operation: str) -> None:
    described = _described(next(iter(DIGEST["operations"][operation]["responses"].values()))["schema"])
    if OPERATIONS[operation].response is ResponseKind.PAGE:
        described = described["value"][0]
    assert list(_unlike(_shape_of(RESULTS[operation]), described, operation)) == []


def test_a_difference_is_told_by_its_path() -> None:
    model = {"id": "string", "pool": {"names": ["string"], "more": "object"}, "items": [{"a": "integer"}]}
    described = {"id": "enum", "pool": {"names": ["string"], "size": "integer"}, "items": [{}]}
    assert list(_unlike(model, described, "Op")) == [
        f"Op.id: string in batch/models, enum in {FILE}",
        f"Op.items[].a: only in batch/models, not in {FILE}",
        f"Op.pool.more: only in batch/models, not in {FILE}",
        f"Op.pool.size: only in {FILE}, not in batch/models",
    ]


# --- the official client ---------------------------------------------------------------------------------------------

_NAMES = dict(vars(typing)) | {"datetime": datetime, "_models": types.SimpleNamespace(**vars(_enums) | vars(_models))}
NEWER_THAN_THE_CLIENT: dict[str, str] = {}
"""What the pinned official client does not have yet, each with the reason: `Model.property`, or `Enum.value`."""
# Required for the service, yet not always sent back: a model that read them would fail.
NOT_ALWAYS_RETURNED = {
    "AzureFileShareConfiguration.accountKey",
    "Certificate.data",
    "CifsMountConfiguration.password",
    "Job.poolInfo",
    "JobNetworkConfiguration.skipWithdrawFromVNet",
    "JobSchedule.jobSpecification",
    "SecurityProfile.encryptionAtHost",
    "SecurityProfile.securityType",
    "SecurityProfile.uefiSettings",
    "UserAccount.password",
}


def _sdk_fields(model: type[SdkModel]) -> dict[str, tuple[_RestField, Any]]:
    hints = typing.get_type_hints(model, dict(vars(_models)) | _NAMES)
    return {
        field._rest_name_input or name: (field, hints[name])
        for kind in reversed(model.__mro__)
        for name, field in vars(kind).items()
        if isinstance(field, _RestField)
    }


def _unmatched(
    name: str, ours: set[str], theirs: set[str], where: str, newer: Collection[str] = NEWER_THAN_THE_CLIENT
) -> Iterator[str]:
    """What only one side has, in a model or an enum of ours with this name, with what to do."""
    client = f"the official client (azure-batch {version('azure-batch')})"
    for missing in sorted(theirs - ours):
        yield f"{where}.{missing}: only {client} has it: add {name}.{missing} to batch/models"
    for extra in sorted(ours - theirs):
        if f"{name}.{extra}" not in newer:
            yield (
                f"{where}.{extra}: {client} does not have it: raise azure-batch in pyproject.toml and run `make lock`, or, "
                f"if no release has it, add {name}.{extra} to NEWER_THAN_THE_CLIENT with the reason"
            )
    for idle in sorted(ours & theirs):
        if f"{name}.{idle}" in newer:
            yield f"{where}.{idle}: {client} has it: remove {name}.{idle} from NEWER_THAN_THE_CLIENT"


def test_what_the_client_lacks_is_told_with_what_to_do() -> None:
    newer = {"Pool.new", "Pool.old"}
    found = list(_unmatched("Pool", {"id", "new", "newest", "old"}, {"id", "old", "other"}, "Pools", newer))
    client = f"the official client (azure-batch {version('azure-batch')})"
    assert found == [
        f"Pools.other: only {client} has it: add Pool.other to batch/models",
        (
            f"Pools.newest: {client} does not have it: raise azure-batch in pyproject.toml and run `make lock`, or, if no "
            "release has it, add Pool.newest to NEWER_THAN_THE_CLIENT with the reason"
        ),
        f"Pools.old: {client} has it: remove Pool.old from NEWER_THAN_THE_CLIENT",
    ]


def test_what_is_newer_than_the_client_is_there() -> None:
    known = {f"{model.__name__}.{field.alias}" for model in _inner(Model) for field in model.model_fields.values()}
    known |= {f"{kind.__name__}.{member.value}" for kind in WireEnum.__subclasses__() for member in kind}
    assert NEWER_THAN_THE_CLIENT.keys() - known == set()
    assert all(NEWER_THAN_THE_CLIENT.values())


def _inner(model: type[Model]) -> Iterator[type[Model]]:
    for kind in model.__subclasses__():
        yield kind
        yield from _inner(kind)


def _compare(ours: type[Model], theirs: type[SdkModel], where: str, sent: bool) -> None:
    fields = {field.alias: (name, field) for name, field in ours.model_fields.items()}
    sdk = _sdk_fields(theirs)
    assert list(_unmatched(ours.__name__, set(fields), set(sdk), where)) == []
    for wire_name, (sdk_field, hint) in sdk.items():
        name, field = fields[wire_name]
        here = f"{where}.{wire_name}"
        written = sent and sdk_field._visibility != ["read"]
        if written:
            required = type(None) not in typing.get_args(hint)
            assert field.is_required() == (required and f"{ours.__name__}.{wire_name}" not in NOT_ALWAYS_RETURNED), here
        if sent:
            assert (READ_ONLY in field.metadata) == (not written), here
        assert _is_int64(_hint(ours, name)) == (sdk_field._format == "str"), here
        _compare_kind(_plain(_hint(ours, name)), _plain(hint), here, written)


def _compare_kind(ours: Any, theirs: Any, where: str, sent: bool) -> None:
    if typing.get_origin(theirs) is list:
        assert typing.get_origin(ours) is list, where
        _compare_kind(_plain(typing.get_args(ours)[0]), _plain(typing.get_args(theirs)[0]), where, sent)
    elif inspect.isclass(theirs) and issubclass(theirs, SdkModel):
        assert issubclass(ours, Model), where
        _compare(ours, theirs, where, sent)
    elif inspect.isclass(theirs) and issubclass(theirs, enum.Enum):
        values = {member.value for member in theirs}
        assert list(_unmatched(ours.__name__, {member.value for member in ours}, values, where)) == []
    elif typing.get_origin(theirs) is dict:
        assert typing.get_origin(ours) is dict, where
    else:
        assert ours is theirs, where


def _sdk_method(operation: str) -> Any:
    """The official client's method for an operation, found by its request builder's name."""
    words = operation.split("_")[1]
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words).lstrip("_")
    return getattr(BatchClientOperationsMixin, snake, None) or getattr(BatchClientOperationsMixin, f"_{snake}")


@pytest.mark.parametrize("operation", sorted(BODIES))
def test_models_of_bodies_agree_with_the_official_client(operation: str) -> None:
    method = _sdk_method(operation)
    hints = typing.get_type_hints(method, dict(vars(inspect.getmodule(method))) | _NAMES)
    (theirs,) = {
        kind
        for name, hint in hints.items()
        if name != "return" and inspect.isclass(kind := _plain(hint)) and issubclass(kind, SdkModel)
    }
    _compare(BODIES[operation], theirs, BODIES[operation].__name__, sent=True)


def _sdk_result(operation: str) -> Any:
    method = _sdk_method(operation)
    result = _plain(typing.get_type_hints(method, dict(vars(inspect.getmodule(method))) | _NAMES)["return"])
    return typing.get_args(result)[0] if typing.get_origin(result) is not None else result


@pytest.mark.parametrize("operation", sorted(set(RESULTS) - {"Certificates_GetCertificate"}))
def test_models_of_results_agree_with_the_official_client(operation: str) -> None:
    _compare(RESULTS[operation], _sdk_result(operation), RESULTS[operation].__name__, sent=False)


def test_a_certificate_is_read_like_an_item_of_the_list() -> None:
    # The official client has a model of its own, without what is never returned.
    ours = {field.alias for field in RESULTS["Certificates_GetCertificate"].model_fields.values()}
    theirs = set(_sdk_fields(_sdk_result("Certificates_GetCertificate")))
    assert ours - theirs == {"data", "certificateFormat", "password"}


def test_all_enums_of_the_official_client_are_known() -> None:
    theirs = {
        frozenset(member.value for member in kind)
        for kind in vars(_enums).values()
        if inspect.isclass(kind) and issubclass(kind, enum.Enum) and kind.__module__ == _enums.__name__
    }
    ours = {
        frozenset(member.value for member in kind if f"{kind.__name__}.{member.value}" not in NEWER_THAN_THE_CLIENT)
        for kind in WireEnum.__subclasses__()
    }
    assert [sorted(values) for values in theirs - ours] == []
