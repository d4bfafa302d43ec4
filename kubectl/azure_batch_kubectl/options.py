"""Options that several commands take. Loads nothing but what `--help` needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from azure_batch_kubectl.choices import Form
from azure_batch_kubectl.jsonpath import Template
from azure_batch_kubectl.jsonpath_steps import TemplateError
from azure_batch_kubectl.later import later

if TYPE_CHECKING:
    from azure_batch_kubectl import waiting
else:
    waiting = later("waiting")


class Seconds(click.ParamType[float]):
    """A duration such as 1h30m, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        try:
            return waiting.seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


timeout_option = click.option(
    "--timeout", type=Seconds(), default="0", help="Timeout, such as 30s or 1h30m. 0 means no limit."
)


def waiting_time(timeout: float, *, wait: bool, remedy: str) -> float | None:
    """Seconds to wait for an end; 0 for no limit, None for not at all.

    Raises:
        click.UsageError: there is a timeout for a wait that is not wanted.
    """
    if wait:
        return timeout
    if timeout:
        raise click.UsageError(f"--timeout limits how long the command waits, but it does not wait: {remedy}")
    return None


DATA = (Form.JSON, Form.YAML, Form.NAME)


_TEMPLATES = ("jsonpath=", "jsonpath-as-json=", "jsonpath-file=")


class OutputType(click.Choice[str]):
    """The value of `-o`: a form, or a template as kubectl takes it."""

    def __init__(self, forms: Sequence[Form]) -> None:
        super().__init__([*(form.value for form in forms), *_TEMPLATES])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A form or a template."""
        text = str(value)
        option = next((option for option in _TEMPLATES if text.startswith(option)), "")
        if not option:
            return Form(super().convert(value, param, ctx))
        text = text.removeprefix(option)
        if not text:
            self.fail(f"{option} has no value: give a template, such as jsonpath='{{.items[*].id}}'", param, ctx)
        try:
            if option == "jsonpath-file=":
                # An editor ends the file with a line break.
                text = Path(text).read_text(encoding="utf-8").rstrip("\n")
            return Template(text, as_json=option == "jsonpath-as-json=")
        except UnicodeDecodeError:
            self.fail(f"{text} is not UTF-8: save the template as UTF-8", param, ctx)
        except (TemplateError, OSError) as error:
            self.fail(str(error), param, ctx)


def form_option(function: Any, forms: tuple[Form, ...] = (*DATA, Form.WIDE)) -> Any:
    """Add `-o`."""
    table = " wide adds columns to the table." if Form.WIDE in forms else ""
    text = f"Output format, as in kubectl get.{table}"
    metavar = "|".join([*(form.value for form in forms), "jsonpath=TEMPLATE"])
    return click.option("-o", "--output", "form", type=OutputType(forms), metavar=metavar, help=text)(function)
