"""How command lines of Windows tasks are taken apart."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.executors.windows import environment, launch
from azure_batch_emulator.executors.windows_syntax import (
    CommandSyntaxError,
    Group,
    Node,
    Pair,
    Simple,
    expand,
    parse,
    unquoted,
    words,
)


def shape(node: Node | None) -> object:
    """A tree as nested tuples."""
    match node:
        case Simple():
            return node.text.strip()
        case Group():
            return ("()", shape(node.body))
        case Pair():
            return (node.operator, shape(node.left), shape(node.right))
        case _:
            return None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", "a"),
        ("a & b && c", ("&", "a", ("&&", "b", "c"))),
        ("a || b && c", ("||", "a", ("&&", "b", "c"))),
        ("a && b | c", ("&&", "a", ("|", "b", "c"))),
        ("a & b & c", ("&", ("&", "a", "b"), "c")),
        ("(a & b) && c", ("&&", ("()", ("&", "a", "b")), "c")),
        ('echo "a & b"', 'echo "a & b"'),
        ("echo a^&b", "echo a&b"),
        ("a &", "a"),
        ("echo f(x)", "echo f(x)"),
        ("", None),
    ],
)
def test_operators(text: str, tree: object) -> None:
    assert shape(parse(text)) == tree


@pytest.mark.parametrize("text", ["& a", "a && ", "(a", "a >", "|", "a ||| b"])
def test_lines_that_do_not_parse(text: str) -> None:
    with pytest.raises(CommandSyntaxError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "rest", "redirections"),
    [
        ("a > b", "a ", [(1, "w", "b")]),
        ("a >> b 2>&1", "a ", [(1, "a", "b"), (2, "w", "&1")]),
        ("a 2>nul", "a ", [(2, "w", "nul")]),
        ("echo 12> f", "echo 12", [(1, "w", "f")]),
        ('type < "a b"', "type ", [(0, "r", "a b")]),
    ],
)
def test_redirections(text: str, rest: str, redirections: list[tuple[int, str, str]]) -> None:
    node = parse(text)
    assert isinstance(node, Simple)
    assert node.text.rstrip() == rest.rstrip()
    assert [(each.stream, each.mode, each.target) for each in node.redirections] == redirections


@pytest.mark.parametrize(
    ("text", "expected"),
    [("%A%", "1"), ("%a%%A%", "11"), ("%NONE%", "%NONE%"), ("100%", "100%"), ("%A", "%A"), ("%A B%", "%A B%")],
)
def test_variables(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' "echo a & echo b"', "echo a & echo b"),
        ("echo a", "echo a"),
        ('"a b.exe"', '"a b.exe"'),
        ('"a b.exe" c', '"a b.exe" c'),
        ('"a & b.exe"', 'a & b.exe'),
        ('"tool.exe"', 'tool.exe'),
        ('"x" & "y"', 'x" & "y'),
        ('"ping example.com"', "ping example.com"),
        ('"echo a" & echo b', "echo a & echo b"),
        ('"', ""),
    ],
)  # fmt: skip
def test_quotes_around_everything(text: str, expected: str) -> None:
    assert unquoted(text, {"a b.exe", "a & b.exe", "tool.exe"}.__contains__) == expected


def test_words() -> None:
    assert words('a "b c" d"e f"g /q') == ["a", "b c", "de fg", "/q"]


@pytest.mark.parametrize(
    ("line", "tail"),
    [
        ("cmd /c echo hi", ["cmd", "/c echo hi"]),
        ("CMD.EXE /q /C echo hi", ["cmd", "/q /C echo hi"]),
        ('"C:\\Windows\\system32\\cmd.exe" /c exit 1', ["cmd", "/c exit 1"]),
        ("cmd", ["cmd", ""]),
    ],
)
def test_what_is_started(line: str, tail: list[str]) -> None:
    argv = launch(line).argv
    assert argv is not None
    assert argv[-2:] == tail


def test_missing_programs() -> None:
    missing = launch("python.exe x.py")
    assert (missing.argv, missing.program) == (None, "python.exe")
    assert "limit of the emulator" in missing.hint


def test_paths_in_variables() -> None:
    made = environment({"AZ_BATCH_TASK_DIR": "D:\\batch\\tasks/workitems/j", "URL": "https://a/b"}, "/real", "/bin")
    assert (made["AZ_BATCH_TASK_DIR"], made["URL"]) == ("D:\\batch\\tasks\\workitems\\j", "https://a/b")
    assert (made["AZBE_ROOT"], made["AZBE_PATH"]) == ("/real", "/bin")


@given(st.text(alphabet='ab %"&|<>()^\\/1', max_size=40))
def test_any_line_parses_or_is_refused(text: str) -> None:
    with suppress(CommandSyntaxError):
        parse(expand(unquoted(text, lambda _: True), {"A": "x"}))
