"""OpenTelemetry traces, enabled by OTEL_… variables: one span per pass over an object, with one per call to Azure Batch inside.

Beside `logs`, used by `sync`. Without those variables nothing is imported and nothing is done; with them the libraries of the extra
`tracing` must be there, which the container image has. Endpoint, headers, sampling and resource are OpenTelemetry's own variables.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_NAME = "azure-batch-operator"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_provider: TracerProvider | None = None
_tracer: Tracer | None = None


class TracingError(Exception):
    """Traces are asked for and cannot be made."""


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    return exporter == "otlp" or (not exporter and any(environ.get(name) for name in _ENDPOINTS))


def configure(environ: Mapping[str, str]) -> None:
    """Begin to send traces, if the environment asks for it.

    Raises:
        TracingError: the libraries are not there.
    """
    global _provider, _tracer
    if not wanted(environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingError(f"OTEL_… variables enable traces: install {_NAME}[tracing] ({error})") from None
    version = metadata.version(_NAME)
    own = {"service.version": version} | ({} if "OTEL_SERVICE_NAME" in environ else {"service.name": _NAME})
    _provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer(_NAME, version)


def shutdown() -> None:
    """Send what is left."""
    if _provider is not None:
        _provider.shutdown()


@contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    """All that happens within is part of this span."""
    if _tracer is None:
        yield
        return
    # An exception that passes through stays out of the trace: its text may quote a secret.
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ):
        yield


def ended(name: str, seconds: float, error: str | None, attributes: Mapping[str, str | int | None]) -> None:
    """A span of something that has just ended, in the present one; attributes that are None are left out."""
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode

    now = time.time_ns()
    known = {key: value for key, value in attributes.items() if value is not None}
    made = _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=known, start_time=now - int(seconds * 1e9))
    if error:
        made.set_status(Status(StatusCode.ERROR, error))
    made.end(now)
