r"""Templates of `-o jsonpath`: the dialect of kubectl.

What is printed was compared with k8s.io/client-go/util/jsonpath, with missing keys allowed, as kubectl has it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import example, given
from hypothesis import strategies as st

from azure_batch_kubectl.jsonpath import Template
from azure_batch_kubectl.jsonpath_steps import TemplateError
from unit.kubectl.conftest import FakeCluster, thing

Run = Callable[..., Result]
NODES = {
    "kind": "List",
    "items": [
        {
            "id": "n1",
            "state": "idle",
            "ok": True,
            "tasks": 3,
            "load": 0.5,
            "labels": {"azurebatch.io/owner": "a", "x": "<&>"},
            "errors": [{"code": "DiskFull"}, {"code": "Slow"}],
        },
        {"id": "n2", "state": "unusable", "ok": False, "tasks": 10, "load": 2.0, "errors": []},
        {"id": "n (3)", "state": "idle", "ok": True, "tasks": 0, "load": None},
    ],
    "numbers": [0, 1, 2, 3, 4],
}


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("{.kind}", "List"),
        ("{ $.kind }", "List"),
        ("kind: {.kind}, {.kind}\n", "kind: List, List\n"),
        ("{.none}", ""),
        ("a{.none.more[0]}b", "ab"),
        ("{.items[*].id}", "n1 n2 n (3)"),
        ("{.items[0].id}", "n1"),
        ("{.items[-1].id}", "n (3)"),
        ("{.items[0]['id','state']}", "n1 idle"),
        ("{.items[0]['id', 'labels.x']}", "n1 <&>"),
        ("{.numbers}", "[0,1,2,3,4]"),
        ("{.numbers[1:3]}", "1 2"),
        ("{.numbers[:2]}", "0 1"),
        ("{.numbers[3:]}", "3 4"),
        ("{.numbers[-2:]}", "3 4"),
        ("{.numbers[::2]}", "0 2 4"),
        ("{.numbers[0,2]}", "0 2"),
        ("{.numbers[?(@>2)]}", "3 4"),
        (r"{.items[0].labels.azurebatch\.io/owner}", "a"),
        (r"{.items[0].labels['azurebatch\.io/owner']}", "a"),
        ("{.items[0].labels}", r'{"azurebatch.io/owner":"a","x":"\u003c\u0026\u003e"}'),
        ("{.items[0].labels.*}", "a <&>"),
        ("{.items[*].ok}", "true false true"),
        ("{.items[*].load}", "0.5 2 null"),
        ("{..code}", "DiskFull Slow"),
        ("{.items..code}", "DiskFull Slow"),
        ('{.items[?(@.state=="unusable")].id}', "n2"),
        ("{.items[?(@.state=='unusable')].id}", "n2"),
        ('{.items[?(@.state!="idle")].id}', "n2"),
        ('{.items[?(@.id=="n (3)")].state}', "idle"),
        ("{.items[?(@.tasks>=3)].id}", "n1 n2"),
        ("{.items[?(@.tasks<3)].id}", "n (3)"),
        ("{.items[?(@.ok==true)].id}", "n1 n (3)"),
        ("{.items[?(@.labels)].id}", "n1"),
        ("{.items[?(@.missing==1)].id}", ""),
        (r'{.items[?(@.labels.azurebatch\.io/owner=="a")].id}', "n1"),
        ('{.items[0].errors[?(@.code=="Slow")].code}', "Slow"),
        (r'{range .items[*]}{.id}{"\t"}{.state}{"\n"}{end}', "n1\tidle\nn2\tunusable\nn (3)\tidle\n"),
        ("{range .items[*]}{@.id}, {end}{.kind}", "n1, n2, n (3), List"),
        ("{range .items[*]}{.id}:{range .errors[*]} {.code}{end};{end}", "n1: DiskFull Slow;n2:;n (3):;"),
        ("{range .none[*]}{.id}{end}after", "after"),
        ("{range .items[*]}{.id}.", "n1.n2.n (3)."),
        ('{"{"}{.kind}{"}"}', "{List}"),
        (r"{'it\'s'}", "it's"),
        # A name ends at few characters only.
        ("{.numbers|}", ""),
    ],
)
def test_what_is_printed(template: str, printed: str) -> None:
    assert Template(template).applied(NODES) == printed


def test_as_json_makes_a_list_of_each_part() -> None:
    assert Template("{.numbers[:2]}", as_json=True).applied(NODES) == "[\n    0,\n    1\n]\n"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{.items[*]", "at character 1, '{.items[*]': expected }: the brace is not closed"),
        ("{.items[*", "at character 8, '[*': the bracket is not closed"),
        ("a{.items[x]}", "at character 10, 'x]}': [x] is neither an index, a slice, * nor a name in single quotes"),
        ('{.items["id"]}', 'at character 9, \'"id"]}\': ["id"] is neither'),
        ("{.items[0,x]}", "at character 11, 'x]}': [x] is neither"),
        ("{.items[-]}", "at character 9, '-]}': [-] is neither an index"),
        ("{.items[1:-]}", "at character 9, '1:-]}': [1:-] is neither an index"),
        ("{.items[٣]}", "at character 9, '٣]}': [٣] is neither an index"),
        (
            f"{{.items[{'9' * 5000}]}}",
            f"at character 9, '{'9' * 20}': [{'9' * 5000}] has a number with more than 18 digits",
        ),
        ("{.items[]}", "at character 9, ']}': [] is neither"),
        ("{.items[::0]}", "at character 9, '::0]}': the step 0 of a slice is not positive"),
        ("{.items[?(@.id=='n1']}", "at character 8, \"[?(@.id=='n1']}\": the filter has no end: expected )]"),
        ("{.items[?(@.id<>'n1')]}", "at character 15, \"<>'n1')]}\": <> is no comparison: use one of == != <"),
        ("{items}", "at character 2, 'items}': 'items' is neither range nor end: begin a field with a dot"),
        ("{.id}{end}", "at character 6, '{end}': there is no {range} to end"),
        ("{end .id}", "at character 6, '.id}': expected } after end"),
        ('{"x}', "at character 2, '\"x}': the quoted text has no end"),
        (r'{"\q"}', r"""at character 3, '\\q"}': \q is no escape in a quoted text"""),
        ("{.....id}", "at character 2, '.....id}': two recursive steps in a row"),
        ("{1.2.3}", "at character 2, '1.2.3}': '1.2.3' is not a number"),
        ("{(}", "at character 2, '(}': expected a field such as .name"),
    ],
)
def test_what_is_no_template_is_refused_with_its_place(template: str, problem: str) -> None:
    with pytest.raises(TemplateError) as raised:
        Template(template)
    assert str(raised.value).startswith(f"jsonpath {template!r}: {problem}")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{.items[7].id}", "at character 9, '7].id}': index 7 is out of bounds: the list has 3 items"),
        ("{.items[-4].id}", "at character 9, '-4].id}': index -4 is out of bounds: the list has 3 items"),
        ("{.kind[0]}", "at character 8, '0]}': List is not a list"),
        ("{.items[0].labels[?(@.x)]}", 'at character 18, \'[?(@.x)]}\': {"azurebatch.io/owner":'),
        ('{.items[?(@.tasks=="3")].id}', "at character 8, '[?(@.tasks==\"3\")].id': 3 and 3 are of different types: put"),
        ("{.items[?(@.labels<@.labels)].id}", 'at character 8, \'[?(@.labels<@.labels\': {"azurebatch.io/owner":'),
        ("{.items[?(@.labels==@.labels)].id}", 'at character 8, \'[?(@.labels==@.label\': {"azurebatch.io/owner":'),
        ("{.items[?(@.errors>@.errors)].id}", 'at character 8, \'[?(@.errors>@.errors\': [{"code":"DiskFull"},'),
        ("{.items[?(@.ok>false)].id}", "at character 8, '[?(@.ok>false)].id}': true cannot be compared by >: compare a text"),
        ("{.items[?(@.ok==1)].id}", "at character 8, '[?(@.ok==1)].id}': true and 1 are of different types"),
        ("{.items[?(@.errors[*].code=='x')].id}", "at character 8, '[?(@.errors[*].code=': 2 values cannot be compared"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(template: str, problem: str) -> None:
    made = Template(template)
    with pytest.raises(TemplateError) as raised:
        made.applied(NODES)
    assert str(raised.value).startswith(f"jsonpath {template!r}: {problem}")


PIECES = (
    *("{", "}", "[", "]", "[?(", ")]", "..", ".", "*", ",", ":", "-", "'", '"', "\\", " ", "@", "$", "range", "end"),
    *(
        ".items",
        ".id",
        ".errors",
        ".labels",
        ".load",
        ".ok",
        "<",
        "<=",
        "==",
        "!=",
        "true",
        "1",
        "2.5",
        "{.items[",
        "]}",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=12).map("".join)


@given(TEXTS | TEXTS.map(lambda text: f"{{.items[?({text})]}}") | TEXTS.map(lambda text: f"{{.items[{text}]}}"))
@example("{.items[-]}")
@example("{.items[?(@.labels<@.labels)]}")
@example("{..[?(@.load<true)]}")
def test_any_text_is_applied_or_refused_with_its_place(text: str) -> None:
    """No other error than TemplateError leaves a template, whatever the text."""
    with suppress(TemplateError):
        Template(text).applied(NODES)


def test_a_command_prints_what_a_template_selects(fake: FakeCluster, run: Run, tmp_path: Path) -> None:
    fake.add(thing("BatchPool", "cpu", phase="Steady"))
    assert run("top", "-o", "jsonpath={.items[*].metadata.name}").stdout == "cpu"
    assert run("top", "-o", "jsonpath-as-json={.items[*].status.phase}").stdout == '[\n    "Steady"\n]\n'
    (tmp_path / "t").write_text('{.kind}{"\\n"}\n')
    assert run("top", "-o", f"jsonpath-file={tmp_path / 't'}").stdout == "List\n"


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ("jsonpath=", 2, "jsonpath= has no value: give a template, such as jsonpath='{.items[*].id}'"),
        ("jsonpath={.a", 2, "jsonpath '{.a': at character 1, '{.a': expected }"),
        ("jsonpath-file=/none", 2, "No such file or directory: '/none'"),
        ("jsonpath-file=NO_UTF8", 2, "NO_UTF8 is not UTF-8: save the template as UTF-8"),
        ("jsonpath", 2, "'jsonpath' is not one of 'json', 'yaml', 'name', 'wide', 'jsonpath=',"),
        ("jsonpath={.items[3]}", 1, "error: jsonpath '{.items[3]}': at character 9, '3]}': index 3 is out of bounds"),
    ],
)
def test_a_command_says_what_is_wrong_with_a_template(
    fake: FakeCluster,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    code: int,
    said: str,
) -> None:
    (tmp_path / "NO_UTF8").write_bytes(b"\xff\xfe{.items}")
    monkeypatch.chdir(tmp_path)
    done = run("top", "-o", value)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stdout == ""
