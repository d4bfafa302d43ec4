"""No text of a user's ends anything: every parser answers with a value or with a problem in words, in bounded time and memory."""

from __future__ import annotations

import itertools
import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from azure_batch_operator.api.account import AllowedNamespaces
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import selectors
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.placeholders import fill, problems
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.schedule import cron
from azure_batch_operator.reconcile.schedule import lifecycle as schedules
from azure_batch_operator.reconcile.value_references import ResolutionError, Source
from unit.objects import NOW, resource

FUZZ = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
BITS = st.sampled_from(
    ["{0}", "{1}", "{0:3}", "{0:99999999999}", "{" + "9" * 5000 + "}", "{0:" + "9" * 5000 + "}", "${1}", "${HOME}", "{{", "}}",
     "{$}", "{{.State}}", "{name}", "{name:4}", "{name:4000000000}", "{", "}", '"', "\n", ",", "\x00", "\ud800"]
)  # fmt: skip
TEXTS = st.lists(BITS | st.text(max_size=5), max_size=10).map("".join)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
REFERENCE = {"name": "more", "key": "tasks"}
SOURCE = Source("ConfigMap", "more", "tasks")


@FUZZ
@given(TEXTS, st.lists(st.text(max_size=5) | st.integers(), max_size=3))
def test_any_template_is_filled_or_refused(template: str, values: list[Any]) -> None:
    found = problems(template, len(values), "values", 20, "t")
    assert all(problem.startswith("t: at character") and len(problem) < 400 for problem in found)
    # What is refused stays as it is; a value is padded to 32 digits at most.
    assert len(fill(template, values, ["name"])) < len(template) + 2_000


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{0:99999}", "at character 1: {0:99999} pads to 99999 digits, but at most 32 are allowed"),
        ("x {0:5000000000}", "at character 3"),
        ("{" + "9" * 5000 + "}", "but the number of columns is 2, and numbering starts at 0"),
        ("{2}", "at character 1 it uses {2}, but the number of columns is 2, and numbering starts at 0"),
        ("echo ${1}", "at character 6: ${1} can be a value or an argument of the shell: write ${{1}} for the shell's, {$}{1} for"),
        ("docker ps --format '{{.State}}'", "at character 21: {{.State looks like a template of another tool"),
        ("{{ name }}", "at character 1: {{ n looks like a template of another tool"),
        ("{{json .}}", "looks like a template of another tool"),
        ('{"a":{"b":1}}', "at character 12: }} stands for one brace without a matching {{: write }}}} for two"),
        ("{{x", "at character 1: {{ stands for one brace without a matching }}: write {{{{ for two"),
    ],
)  # fmt: skip
def test_an_ambiguous_value_is_refused_with_its_position(template: str, words: str) -> None:
    assert any(words in problem for problem in problems({"commandLine": template}, 2, "columns", 9, "spec.t"))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("echo ${{1}} {$}{0} ${HOME} {unknown} {a,b}", "echo ${1} $7 ${HOME} {unknown} {a,b}"),
        ("{{{{.State}}}} {{0}} {{x}}", "{{.State}} {0} {x}"),
        ('{"a": {"b": {0} } }', '{"a": {"b": 7 } }'),
        ("{0:3}{0:032}", "007" + "7".zfill(32)),
    ],
)
def test_every_text_can_be_written_as_a_template(template: str, text: str) -> None:
    assert problems(template, 1, "values") == []
    assert fill(template, [7]) == text


def test_a_task_that_would_not_fit_into_a_call_is_refused_before_it_fills_the_memory() -> None:
    item = "x" * 1024
    spec = {
        "taskFactory": {"taskPerItem": {"items": [item]}, "repeatTask": {"commandLine": "{0}" * 2000}},
    }
    assert any("larger than the 1 MiB" in problem for problem in expand.problems(JobTerms.of(spec)))


@FUZZ
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=8), st.integers() | st.none())
@example([(-(2**63), 2**63 - 1, 1)] * 8, None)
@example([(1, 2**63 - 1, 1)], 10**12)
def test_any_sweep_is_counted_at_once(sets: list[tuple[int, int, int]], width: int | None) -> None:
    spec: dict[str, Any] = {
        "taskFactory": {
            "parametricSweep": {"parameterSets": [{"start": a, "end": b, "step": c} for a, b, c in sets]},
            "repeatTask": {"commandLine": "{0}"}, "idWidth": width,
        }
    }  # fmt: skip
    if expand.total(JobTerms.of(spec)) > 10_000_000:
        assert "at most 10000000" in expand.problems(JobTerms.of(spec))[0]
    assert len(list(itertools.islice(expand.expand(spec, "j"), 2))) == min(2, expand.total(JobTerms.of(spec)))
    job_changes.fingerprint(spec)


CSV = st.text(alphabet='ab,"\n\r\x00{}1', max_size=60)
YAML = st.text(alphabet="ab:- []{}&*!<>|\n\"'#%@?,0123456789.", max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "commandLine", "value", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
).map(json.dumps)  # fmt: skip


@FUZZ
@given(CSV | YAML | JSON | st.text(max_size=40), st.sampled_from([None, "lines", "csv"]), TEXTS, st.booleans())
@example('a,b\n1,"2\n3,4\n' * 3, "csv", "{a}", True)
@example('a\n"' + "x" * 200_000, "csv", "{a}", False)
@example("- {id: a, commandLine: x, requiredSlots: " + "9" * 5000 + "}", None, "", False)
@example("- {id: 2026-13-45, commandLine: x}", None, "", False)
@example("[" + "9" * 5000 + "]", None, "", False)
def test_any_text_of_a_config_map_becomes_tasks_or_an_error(text: str, form: Any, template: str, tabled: bool) -> None:
    spec: dict[str, Any] = {
        "tasksFrom": [{"configMapKeyRef": REFERENCE}],
        "taskFactory": {
            "taskPerItem": {"itemsFrom": {"configMapKeyRef": REFERENCE, "format": form}}, "repeatTask": {"commandLine": template},
        },
    }  # fmt: skip
    if tabled:
        spec["tasksFrom"][0]["template"] = {"id": "{0}", "commandLine": template}
    messages: list[str] = []
    for part in ("tasksFrom", "taskFactory"):
        alone = {part: spec[part]}
        try:
            whole = alone | sources.inlined(alone, {SOURCE: text})
        except ResolutionError as error:
            messages.append(str(error))
            continue
        if not expand.problems(JobTerms.of(whole)):
            list(itertools.islice(expand.expand(whole, "j"), 100))
    assert all(len(message) < 3000 for message in messages)


def test_a_quote_without_its_end_is_named_with_its_line() -> None:
    spec = {"tasksFrom": [{"configMapKeyRef": REFERENCE, "template": {"id": "{a}", "commandLine": ""}}]}
    with pytest.raises(ResolutionError, match=r"is not CSV: line 3: .*a quote"):
        sources.inlined(spec, {SOURCE: 'a,b\n1,2\n3,"4\n'})


def test_a_small_table_with_a_large_template_does_not_fill_the_memory() -> None:
    template = {"id": "{a}", "commandLine": "x" * 60_000}
    spec = {"tasksFrom": [{"configMapKeyRef": REFERENCE, "template": template}]}
    with pytest.raises(ResolutionError, match=r"use spec\.taskFactory"):
        sources.inlined(spec, {SOURCE: "a\n" + "1\n" * 200_000})


@pytest.mark.parametrize("sources_", [1, 20])
def test_a_small_template_that_repeats_one_value_does_not_fill_the_memory(
    sources_: int,
) -> None:
    """Each task would have 200 thousand characters, of 60 KiB of text in all."""
    one = {"configMapKeyRef": REFERENCE, "template": {"id": "{a}", "commandLine": "{b}" * 2000}}
    text = "a,b\n" + "".join(f"{at},{'x' * 100}\n" for at in range(600 // sources_))
    with (
        patch.object(sources, "fill", side_effect=AssertionError("filled")),
        pytest.raises(ResolutionError, match="taskFactory"),
    ):
        sources.inlined({"tasksFrom": [one] * sources_}, {SOURCE: text})


@FUZZ
@given(st.text(max_size=20) | st.text(alphabet="0123456789*/,-L#W ?", max_size=30), st.text(max_size=10))
@example("99999999999999999999 * * * *", "UTC")
@example("*/0 * * * *", "UTC")
@example("0 0 31 2 *", "Europe/Berlin")
@example("* * * * *", "../../etc/passwd")
@example("* * * * *", "Europe")
@example("* * * * *", "x" * 5000)
def test_any_cron_expression_is_read_or_refused(expression: str, zone: str) -> None:
    messages: list[str] = []
    for each in (zone, "Etc/UTC"):
        try:
            cron.times(expression, each, 0.0, NOW)
        except ValueError as error:
            messages.append(str(error))
    assert all("spec.cron" in message for message in messages)
    one = resource(Kind.SCHEDULE, {"cron": {"expression": expression, "timeZone": zone}, "jobSpecification": {}})
    assert schedules.is_cron(one)
    cron.plan(one, [], NOW)


@FUZZ
@given(st.text(max_size=20) | st.from_regex(r"P(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?", fullmatch=True))
@example("P" + "9" * 5000 + "D")
def test_any_duration_is_read_or_refused(text: str) -> None:
    try:
        assert normal.ticks(text) >= 0
    except ValueError:
        return


EXPRESSIONS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.text(min_size=1, max_size=3),
            "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "x"]),
        },
        optional={"values": st.lists(st.text(max_size=3), max_size=2)},
    ),
    max_size=2,
)


@FUZZ
@given(
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    EXPRESSIONS,
    st.dictionaries(st.text(max_size=3), st.text()),
)
def test_any_selector_selects_or_does_not(
    labels: dict[str, str], expressions: list[Any], given_labels: dict[str, str]
) -> None:
    selector = {"selector": {"matchLabels": labels, "matchExpressions": expressions}}
    assert selectors.allows(AllowedNamespaces.model_validate(selector), "n", given_labels) in {True, False}
