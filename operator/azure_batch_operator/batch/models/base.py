"""The base of all wire models: names, times, enums, and both directions.

A model is strict when a program builds it (unknown members and unknown enum values are refused, before the service does
so) and open when it reads what the service sent (later versions of the service may say more): `Model.read`. Names in
Python are snake_case, on the wire exactly those of the API; `Model.write` gives the wire form, without what is None and
without what only the service sets.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainSerializer, ValidationError, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from azure_batch_operator.batch.errors import MalformedResponseError
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.shapes import Reader, number_text, text
from azure_batch_operator.words import listed

_WIRE = "wire"


class ReadOnly:
    """Marks a member that the service sets: it is read and never written."""


READ_ONLY = ReadOnly()


class Model(BaseModel):
    """A JSON object of the API."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """Read what the service sent; members and enum values that this version does not know are no error.

        Raises:
            MalformedResponseError: a member has a value of another kind than the API says.
        """
        try:
            return cls.model_validate(value, extra="ignore", by_name=False, by_alias=True, context=_WIRE)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
        raise MalformedResponseError(f"the service's {cls.__name__} cannot be read: {where}: {first['msg']}")

    def write(self) -> dict[str, Any]:
        """The JSON object to send.

        Raises:
            ValueError: an enum value is not one of this version of the API.
        """
        written = self.model_dump(mode="json", exclude_none=True)
        return _without_read_only(self, written)


def _without_read_only(model: Model, written: dict[str, Any]) -> dict[str, Any]:
    for name, field in type(model).model_fields.items():
        key = field.serialization_alias or field.alias or name
        if key not in written:
            continue
        value = getattr(model, name)
        if READ_ONLY in field.metadata:
            del written[key]
        elif isinstance(value, Model):
            written[key] = _without_read_only(value, written[key])
        elif isinstance(value, list) and value and isinstance(value[0], Model):
            written[key] = [_without_read_only(item, part) for item, part in zip(value, written[key], strict=True)]
    return written


class WireEnum(StrEnum):
    """Named values of the API. The service accepts any casing and returns its own (docs/azure-batch.md#json)."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        lowered = value.lower() if isinstance(value, str) else None
        return next((member for member in cls if member.value.lower() == lowered), None)


class _OpenEnum:
    """Reads unknown values as plain strings, takes and writes only known ones."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind: type[WireEnum] = get_args(source)[0]
        known: dict[str, WireEnum] = {member.value: member for member in kind}
        known |= {spelling.title(): member for spelling, member in known.items()}

        def validate(value: object, info: ValidationInfo) -> WireEnum | str:
            if not isinstance(value, str):
                raise ValueError("should be a string")  # noqa: TRY004 (pydantic wants a ValueError)
            if (member := known.get(value)) is not None:
                return member
            try:
                return kind(value)
            except ValueError:
                if info.context == _WIRE:
                    return value
                raise ValueError(f"should be {listed(kind, 'or')}") from None

        def serialize(value: str) -> str:
            return kind(value).value

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(serialize, when_used="json")
        )


E = TypeVar("E", bound=WireEnum)
Open = Annotated[E | str, _OpenEnum()]
"""A member of an enum, or a string that only a later version of the service knows."""


Int64 = Annotated[int, PlainSerializer(str, when_used="json"), Reader(number_text)]
"""A number that is a string on the wire, because JSON's numbers are too short for it (docs/azure-batch.md#json)."""

Prose = Annotated[str, Reader(lambda value: safe_text(text(value)))]
"""A text for people, which others have written: it is made safe to show where the response is read."""

INFINITE = timedelta(days=10675199, hours=2, minutes=48, seconds=5, microseconds=477580)
"""What the service calls "no limit": the longest time of .NET."""
_INFINITE_TEXT = "P10675199DT2H48M5.4775807S"

_DURATION = re.compile(
    r"(?P<sign>-)?P(?!$)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?!$)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:[.,](?P<fraction>\d{1,9}))?S)?)?"
)


def parse_duration(text: str) -> timedelta:
    """An ISO 8601 duration; a year is 365 days and a month 30, as for the service (docs/azure-batch.md#json).

    Raises:
        ValueError: not a duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("should be an ISO 8601 duration such as PT1H30M")
    part = {name: int(match[name] or 0) for name in ("years", "months", "weeks", "days", "hours", "minutes", "seconds")}
    days = 365 * part["years"] + 30 * part["months"] + 7 * part["weeks"] + part["days"]
    microseconds = int((match["fraction"] or "0").ljust(6, "0")[:6])
    try:
        value = timedelta(days, part["seconds"], microseconds, 0, part["minutes"], part["hours"])
    except OverflowError:
        raise ValueError("is too long") from None
    return -value if match["sign"] else value


def format_duration(value: timedelta) -> str:
    """A duration as the service writes it: days, hours, minutes, seconds, each only if it is not zero."""
    if value == INFINITE:
        return _INFINITE_TEXT
    if value < timedelta(0):
        return f"-{format_duration(-value)}"
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    date = f"{value.days}D" if value.days else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    time += f"{seconds}{fraction}S" if seconds or fraction else ""
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"


class _IsoDuration:
    """A timedelta in Python, ISO 8601 on the wire."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: object) -> timedelta:
            if isinstance(value, timedelta):
                return value
            if isinstance(value, str):
                return parse_duration(value)
            raise ValueError("should be a duration")

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json")
        )


Duration = Annotated[timedelta, _IsoDuration()]

_TIMESTAMP = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>[Zz]|[+-]\d\d:\d\d)"
)


class Timestamp(datetime):
    """A moment in UTC with the service's seven fractional digits, one more than a datetime holds.

    Compares and calculates as the datetime that it is; `ticks` and the text are exact.
    """

    _tick: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a timestamp with a time zone.

        Raises:
            ValueError: not a timestamp, or one without a time zone.
        """
        match = _TIMESTAMP.fullmatch(text.strip())
        if match is None:
            raise ValueError("should be a time such as 2024-10-24T01:15:21.4060208Z")
        digits = (match["fraction"] or "").ljust(7, "0")[:7]
        zone = match["zone"]
        if zone in ("Z", "z"):
            moment = cls.fromisoformat(f"{match['date']}T{match['time']}.{digits[:6]}+00:00")
        else:
            moment = cls.fromisoformat(f"{match['date']}T{match['time']}.{digits[:6]}{zone}").astimezone(UTC)
        moment._tick = int(digits[6])
        return moment

    @property
    def ticks(self) -> int:
        """Units of 100 ns since the year 1; an object's ETag is `0x` and this number in hexadecimal digits."""
        return (self - _EPOCH) // timedelta(microseconds=1) * 10 + self._tick

    @property
    def text(self) -> str:
        """As the service writes it: UTC, up to seven digits, no trailing zeros."""
        return _format_timestamp(self, self._tick)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return type(self).parse, (self.text,)


_EPOCH = Timestamp(1, 1, 1, tzinfo=UTC)


def _format_timestamp(moment: datetime, tick: int = 0) -> str:
    fraction = f".{moment.microsecond:06}{tick}".rstrip("0").rstrip(".")
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}{fraction}Z"


class _Rfc3339:
    """A datetime with a time zone in Python, RFC 3339 on the wire."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: object) -> datetime:
            if isinstance(value, datetime):
                if value.tzinfo is None:
                    raise ValueError("needs a time zone")
                return value
            if isinstance(value, str):
                return Timestamp.parse(value)
            raise ValueError("should be a time")

        def serialize(value: datetime) -> str:
            return value.text if isinstance(value, Timestamp) else _format_timestamp(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(serialize, when_used="json")
        )


Moment = Annotated[datetime, _Rfc3339()]
"""A time; what the service sent is a `Timestamp` and keeps all its digits."""
