"""docs/az-batch.md has every command of `az batch`. tests/e2e/test_az_batch.py runs what it says to type."""

from __future__ import annotations

from support.az_batch import CURRENT, PAGE, REMOVED, lines, manifests, rows

TEXT = PAGE.read_text()


def test_every_command_of_az_batch_is_on_the_page_and_no_other() -> None:
    before, _, after = TEXT.partition("## Commands that az batch no longer has")
    assert {command for commands, _ in rows(before) for command in commands} == CURRENT
    assert {command for commands, _ in rows(after) for command in commands} == REMOVED


def test_every_row_of_the_tables_is_read() -> None:
    written = [line for line in TEXT.splitlines() if line.startswith("| `az batch ")]
    assert len(rows(TEXT)) == len(written)
    assert all(beside for _, beside in rows(TEXT))


def test_files_that_the_lines_apply_are_on_the_page() -> None:
    applied = {line.split()[3] for line in lines(TEXT) if line.startswith("kubectl apply -f ")}
    assert applied == manifests(TEXT).keys() != set()


def test_a_row_is_read_without_the_options_of_its_commands() -> None:
    page = "| `az batch a b --id x`, `az batch c -g y` | `kubectl get x`, as `spec.y` says<br>`kubectl get z` |\n"
    assert rows(page)[0][0] == ["a b", "c"]
    assert lines(page * 2) == ["kubectl get x", "kubectl get z"]
