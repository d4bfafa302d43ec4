"""Output as kubectl prints it: tables without lines, colors on a terminal only, objects as JSON, YAML or names."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any, Literal, TypeGuard

import click
import yaml
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from azure_batch_kubectl.choices import Form, Output
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.jsonpath import Template
from azure_batch_kubectl.jsonpath_steps import TemplateError
from azure_batch_kubectl.trees import Node
from azure_batch_operator.api.base import GROUP

Name = Callable[[Mapping[str, Any]], str]
Data = Literal[Form.JSON, Form.YAML, Form.NAME] | Template
_WIDE = 100_000
"""Columns where nothing is to be wrapped, because a program reads."""
_COLORS = {
    "green": {"Succeeded", "Steady", "Connected", "True", "idle", "completed"},
    "cyan": {"Running", "running", "Submitting", "Creating", "Resizing", "Starting"},
    "yellow": {"Waiting", "Queued", "Pending", "Held", "Disabled", "Suspended", "Suspending", "offline", "preempted"},
    "red": {"Failed", "Stalled", "False", "unusable", "starttaskfailed", "unknown"},
}
_COLOR_OF = {word: color for color, words in _COLORS.items() for word in words}


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(highlight=False, width=None if terminal else _WIDE, no_color=None if terminal else True)


def _word(text: str) -> Text:
    return Text(text, style=_COLOR_OF.get(text, ""))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Columns, three spaces apart."""
    made = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for each in header:
        made.add_column(each, no_wrap=True)
    for row in rows:
        made.add_row(*(_word("" if cell is None else str(cell)) for cell in row))
    return made


def tree(node: Node) -> Tree:
    """A tree of lines; the word in the middle of each is its state."""
    made = Tree(_line(node))
    for each in node.children:
        made.children.append(tree(each))
    return made


def _line(node: Node) -> Text:
    return Text("  ").join(
        [Text(node.label), *([_word(node.state)] if node.state else []), *([Text(node.text)] if node.text else [])]
    )


def show(thing: RenderableType) -> None:
    """Print something; for programs, without spaces at the ends of lines."""
    console = _console()
    # Not what rich takes for one: with FORCE_COLOR, which CI sets, a file is a terminal for it.
    if sys.stdout.isatty():
        console.print(thing)
        return
    with console.capture() as captured:
        console.print(thing)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


@dataclass(frozen=True)
class Columns:
    """A table of things.

    Attributes:
        header: of each column.
        row: the cells of a thing.
        more: headers that `-o wide` adds.
        more_of: the cells below them.
    """

    header: Sequence[str]
    row: Callable[[Any], Sequence[object]]
    more: Sequence[str] = ()
    more_of: Callable[[Any], Sequence[object]] = lambda _: ()

    def table(self, things: Iterable[Any], form: Output | None) -> Table:
        """The table, with all columns for `-o wide`."""
        if form is not Form.WIDE:
            return table(self.header, (self.row(thing) for thing in things))
        rows = ((*self.row(thing), *self.more_of(thing)) for thing in things)
        return table((*self.header, *self.more), rows)


def is_data(form: Output | None) -> TypeGuard[Data]:
    """Whether `-o` asks for something that is no table."""
    return form is not None and form is not Form.WIDE


def listing(form: Output | None, items: Sequence[Mapping[str, Any]], columns: Columns, name: Name, none: str) -> None:
    """Print a list in any form of `-o`, and `none` on stderr instead of a table without rows."""
    if is_data(form):
        emit(form, items, name)
    elif items:
        show(columns.table(items, form))
    else:
        click.echo(none, err=True)


def emit(form: Data, items: Sequence[Mapping[str, Any]], name: Name) -> None:
    """Print a list as JSON or YAML, what a template selects of it, or the names of its members.

    Raises:
        FailureError: the template does not fit the list.
    """
    if form is Form.NAME:
        for each in items:
            click.echo(name(each))
        return
    document = {"apiVersion": "v1", "kind": "List", "items": [*items]}
    if isinstance(form, Template):
        try:
            click.echo(form.applied(document), nl=False)
        except TemplateError as error:
            raise FailureError(str(error)) from None
        return
    text = json.dumps(document, indent=4) if form is Form.JSON else yaml.safe_dump(document, sort_keys=False)
    click.echo(text.rstrip())


async def stream(form: Literal[Form.JSON, Form.YAML], pages: AsyncIterable[Sequence[Mapping[str, Any]]]) -> None:
    """Print what `emit` prints of a list, page by page: a job may have a million tasks, which are not held in memory."""
    as_json = '{\n    "apiVersion": "v1",\n    "kind": "List",\n    "items": ['
    click.echo(as_json if form is Form.JSON else "apiVersion: v1\nkind: List\nitems:", nl=False)
    found = False
    async for page in pages:
        for item in page:
            if form is Form.JSON:
                text = f"{',' if found else ''}\n{indent(json.dumps(item, indent=4), ' ' * 8)}"
            else:
                text = f"\n{yaml.safe_dump([item], sort_keys=False).rstrip()}"
            click.echo(text, nl=False)
            found = True
    if form is Form.JSON:
        click.echo("\n    ]\n}" if found else "]\n}")
    else:
        click.echo("" if found else " []")


def documents(items: Iterable[Mapping[str, Any]]) -> None:
    """Print manifests as YAML documents, ready for a file in Git."""
    for each in items:
        click.echo(f"---\n{yaml.safe_dump(json.loads(json.dumps(each)), sort_keys=False, allow_unicode=True).rstrip()}")


def object_name(thing: Mapping[str, Any]) -> str:
    """As `-o name` of kubectl: `batchjob.azurebatch.io/render`."""
    return f"{thing['kind'].lower()}.{GROUP}/{thing['metadata']['name']}"
