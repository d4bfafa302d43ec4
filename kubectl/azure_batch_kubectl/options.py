"""Options that several commands take. Loads nothing but what `--help` needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from azure_batch_kubectl.choices import Form
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


DATA = (Form.JSON, Form.YAML, Form.NAME)


def form_option(function: Any, forms: tuple[Form, ...] = (*DATA, Form.WIDE)) -> Any:
    """Add `-o`."""
    table = ", or a table with more columns" if Form.WIDE in forms else ""
    choice = click.Choice([form.value for form in forms])
    return click.option("-o", "--output", "form", type=choice, help=f"Print objects or names{table}.")(function)
