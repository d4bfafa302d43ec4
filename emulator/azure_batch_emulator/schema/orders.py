"""Bodies of the admin calls under ``/emulator/``: checked like the service's own, so that an order is done whole or not at all."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from azure_batch_emulator.schema.types import (
    DISPLAY_NAME,
    ID,
    TEXT,
    Boolean,
    Choice,
    Integer,
    JsonObject,
    Many,
    Number,
    Property,
    Struct,
    Text,
    optional,
    required,
)
from azure_batch_emulator.wire.errors import invalid_property

_COUNT = Integer(0)
_SHARE = Number(0, 1)
# A century, so that no timestamp leaves the calendar.
_SECONDS = Number(0, 3_155_760_000)
_SKEW = Number(-3_155_760_000, 3_155_760_000)


class Pattern(Text):
    """A regular expression."""

    def accept(self, name: str, value: Any) -> Any:
        value = super().accept(name, value)
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise invalid_property(name, value, f"The value is not a regular expression: {error}.") from None
        return value


class Span:
    """Seconds: one number, or two between which a number is drawn; two come out."""

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, list):
            value = [value, value]
        if len(value) != 2:
            raise invalid_property(name, len(value), "The value must be a number, or two numbers.")
        return tuple(float(_SECONDS.accept(name, item)) for item in value)


class Base64(Text):
    """Bytes in base64."""

    def accept(self, name: str, value: Any) -> Any:
        try:
            decoded = base64.b64decode(super().accept(name, value), validate=True)
        except (ValueError, binascii.Error):
            raise invalid_property(name, "(hidden)", "The value is not base64.") from None
        if not decoded:
            raise invalid_property(name, "(hidden)", "The value must not be empty.")
        return decoded


class Scalar:
    """A seed: text or a number."""

    def accept(self, name: str, value: Any) -> Any:
        if isinstance(value, dict | list | bool):
            raise invalid_property(name, value, "The value must be a string or a number.")
        return value


QUOTA = Struct(
    {"pools": _COUNT, "activeJobsAndSchedules": _COUNT, "dedicatedCores": _COUNT, "lowPriorityCores": _COUNT}
)
COUNTS_LAG = Struct({"seconds": required(_SECONDS)})
CLOCK = Struct({"skewSeconds": _SKEW, "paused": Boolean()})
KEY = Struct({"key": required(Base64())})
SIMULATION = Struct(
    {
        "rules": Property(
            Many(
                Struct(
                    {
                        "pattern": optional(Pattern(), ""),
                        "seconds": optional(Span(), (0.0, 0.0)),
                        "exitCode": optional(Integer(), 0),
                        "probability": optional(_SHARE, 1.0),
                        "attempts": _COUNT,
                        "stdout": optional(TEXT, ""),
                        "stderr": optional(TEXT, ""),
                    }
                )
            ),
            default=[],
            keep_empty=True,
        )
    }
)


class Versions(Many):
    """Versions of an application, each once."""

    def accept(self, name: str, value: Any) -> Any:
        versions = super().accept(name, value)
        known: set[str] = set()
        for version in versions:
            if version.lower() in known:
                raise invalid_property(name, version, "The application has that version already.")
            known.add(version.lower())
        return versions


# Documented on the page on application packages.
APPLICATION_ID = ID
_VERSION = Text(
    r"[A-Za-z0-9_.-]{1,64}", reason="A version has 1 to 64 characters, only letters, digits, '-', '_' and '.'."
)
APPLICATION = Struct(
    {"displayName": DISPLAY_NAME, "versions": Property(Versions(_VERSION), default=[], keep_empty=True)}
)
SEED_TASKS = Many(JsonObject())
_PAIRS = Many(Struct({"name": required(TEXT), "value": required(TEXT)}))
RESIZE_ERROR = Struct({"code": Text(shortest=1), "message": TEXT, "values": _PAIRS, "mostNodes": _COUNT})
FAIL_NODE = Struct(
    {
        "state": optional(Choice("unusable", "starttaskfailed", "unknown"), "unusable"),
        "code": optional(Text(shortest=1), "NodeUnusable"),
        "message": optional(TEXT, "The node was made to fail."),
    }
)
IDENTITY = Struct(
    {
        "tenantId": required(Text(shortest=1)),
        "clientId": required(Text(shortest=1)),
        "account": TEXT,
        "role": optional(Choice("contributor", "reader", "none"), "contributor"),
        "secret": TEXT,
        "certificate": TEXT,
        "managed": optional(Boolean(), False),
        "federation": Struct(
            {"issuer": required(TEXT), "subject": required(TEXT), "audience": TEXT, "jwks": required(JsonObject())}
        ),
    }
)
FAULT = Struct(
    {
        "operation": Pattern(),
        "method": TEXT,
        "path": Pattern(),
        "count": _COUNT,
        "skip": optional(_COUNT, 0),
        "probability": optional(_SHARE, 1.0),
        "seed": Scalar(),
        "effect": required(
            Struct(
                {
                    "status": Integer(200, 599),
                    "code": Text(shortest=1),
                    "message": TEXT,
                    "retryAfter": _COUNT,
                    "delay": optional(_SECONDS, 0.0),
                    "hang": optional(Boolean(), False),
                    "reset": optional(Boolean(), False),
                    "truncate": _SHARE,
                    "corrupt": optional(Boolean(), False),
                    "landAfter": _SECONDS,
                    "lostAnswer": optional(Boolean(), False),
                    "partial": Struct(
                        {
                            "every": optional(Integer(1), 2),
                            "status": optional(TEXT, "ServerError"),
                            "code": optional(Text(shortest=1), "ServerBusy"),
                        }
                    ),
                }
            )
        ),
    }
)
