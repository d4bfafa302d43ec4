"""The formula language: samples of the documentation's forms, and formulas that are wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.autoscale import evaluate
from azure_batch_emulator.autoscale.parser import FormulaSyntaxError, parse
from azure_batch_emulator.autoscale.samples import History, SampledMetric
from azure_batch_emulator.autoscale.values import EvaluationError, show

# Friday, 2025-10-03T10:30:00Z
NOW = 1_759_487_400.0


def scope(samples: dict[str, list[float]] | None = None) -> evaluate.Scope:
    """Metrics with one sample per 30 s, the last one 30 s ago."""
    metrics: dict[str, Any] = {}
    for name, values in ({"$PendingTasks": [4.0] * 40, "$CPUPercent": [10.0, 20.0, 30.0]} | (samples or {})).items():
        history = History(10_000.0 - 30 * len(values))
        for place, value in enumerate(values):
            history.take(history.begin + 30 * place, {name: value})
        metrics[name] = SampledMetric(name, history, 10_000.0, NOW, lambda: 0.0)
    defaults = {evaluate.DEDICATED: 2.0, evaluate.LOW_PRIORITY: 0.0, evaluate.OPTION: "requeue"}
    return evaluate.Scope(metrics, NOW, random.Random(1), defaults)  # noqa: S311


def value(formula: str, samples: dict[str, list[float]] | None = None) -> str:
    """The value of ``x`` after a formula, as results show it."""
    return show(evaluate.run(parse(formula), scope(samples))["x"])


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("-3 + 1", "-2"),
        ("10 - 2 - 3", "5"),
        ("!0", "1"),
        ("1 < 2 && 2 < 1 || 1 == 1", "1"),
        ("0 ? 5 : 1 ? 6 : 7", "6"),
        ("2 >= 2 ? 10 : 20", "10"),
        ("[1, 2] + 1", "[2,3]"),
        ("[4, 6] / [2, 3]", "[2,2]"),
        ("avg([1, 2, 3], 6)", "3"),
        ("min(3, [2, 5])", "2"),
        ("max($PendingTasks.GetSample(3), 9)", "9"),
        ("len([1, 2, 3])", "3"),
        ("norm([3, 4])", "5"),
        ("range([3, 9, 4])", "6"),
        ("std([2, 4, 4, 4, 5, 5, 7, 9])", "2.138089935299395"),
        ("sum(1, [2, 3])", "6"),
        ("lg(8)", "3"),
        ("log(1000)", "3"),
        ("ln([1, 1])", "[0,0]"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2)", "-2"),
        ("round(2.5)", "3"),
        ("percentile([1, 2, 3, 4, 5], 50)", "3"),
        ("val([7, 8, 9], 1)", "8"),
        ("rand() < 1", "1"),
        ("time().hour", "10"),
        ("time().weekday", "5"),
        ('time("2025-01-02T03:04:05Z").second', "5"),
        ('time("2025-01-02T03:04:05Z") + TimeInterval_Minute', "2025-01-02T03:05:05Z"),
        ('(time() - time("2025-10-03T10:00:00Z")) / 2', "PT15M"),
        ("2 * TimeInterval_Hour + TimeInterval_Day", "P1DT2H"),
        ("TimeInterval_Hour > TimeInterval_Minute * 59", "1"),
        ('"a" < "b"', "1"),
        ("$CPUPercent", "30"),
        ("$CPUPercent * 2", "60"),
        ("$CPUPercent.GetSample(2)", "[20,30]"),
        ("$PendingTasks.GetSamplePercent(180 * TimeInterval_Second)", "100"),
        ("$PendingTasks.GetSamplePercent(TimeInterval_Hour)", "33.333333333333336"),
        ("len($PendingTasks.GetSample(TimeInterval_Minute * 10))", "20"),
        ("len($PendingTasks.GetSample(TimeInterval_Minute * 10, TimeInterval_Minute * 5))", "11"),
        ("len($PendingTasks.GetSample(time() - TimeInterval_Minute, 50))", "2"),
        ("$PendingTasks.GetSamplePeriod()", "PT30S"),
        ("$PendingTasks.Count()", "40"),
        ("$PendingTasks.HistoryBeginTime()", "2025-10-03T10:10:00Z"),
    ],
)
def test_expressions(expression: str, shown: str) -> None:
    assert value(f"x = {expression};") == shown


SAMPLES = {
    "pending tasks": (
        """
        startingNumberOfVMs = 1;
        maxNumberofVMs = 25;
        pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
        pendingTaskSamples = pendingTaskSamplePercent < 70
            ? startingNumberOfVMs : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
        $TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
        $NodeDeallocationOption = taskcompletion;
        """,
        (
            "$TargetDedicatedNodes=4;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;$maxNumberofVMs=25;"
            "$pendingTaskSamplePercent=100;$pendingTaskSamples=4;$startingNumberOfVMs=1"
        ),
    ),
    "working hours": (
        """
        $curTime = time();
        $workHours = $curTime.hour >= 8 && $curTime.hour < 18;
        $isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
        $isWorkingWeekdayHour = $workHours && $isWeekday;
        $TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
        """,
        (
            "$TargetDedicatedNodes=20;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;$curTime=2025-10-03T10:30:00Z;"
            "$isWeekday=1;$isWorkingWeekdayHour=1;$workHours=1"
        ),
    ),
    "samples of a quarter of an hour": (
        """
        // the mean, or the latest value while there are few samples
        $samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
        $tasks = $samples < 70 ? max(0,$PendingTasks.GetSample(1))
            : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
        $targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
        $TargetDedicatedNodes = max(0, min($targetVMs, 20));
        $NodeDeallocationOption = taskcompletion
        """,
        "$TargetDedicatedNodes=4;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;$samples=100;$targetVMs=4;$tasks=4",
    ),
    "old names": (
        "$TargetDedicated = 3; $TargetLowPriority = $TargetDedicated + 1;",
        "$TargetDedicatedNodes=3;$TargetLowPriorityNodes=4;$NodeDeallocationOption=requeue",
    ),
    "stop": (
        "a = 1; stop(); a = 2;",
        "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;$a=1",
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_formulas(name: str) -> None:
    formula, text = SAMPLES[name]
    assert evaluate.results(evaluate.run(parse(formula), scope()), 2.0, 0.0) == text


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("$something_useless", "Line 1, Col 1: Undefined symbol: $something_useless"),
        ("a = 1;\n  b = a + c;", "Line 2, Col 11: Undefined symbol: c"),
        ("x = 1 / 0;", "Line 1, Col 5: Division by zero"),
        ("x = nothing(1);", "Line 1, Col 5: Undefined function: nothing"),
        ('x = "a" + 1;', "Line 1, Col 5: Operator + is not defined for string and double"),
        ("x = time() + time();", "Line 1, Col 5: Operator + is not defined for timestamp and timestamp"),
        ("x = [1, 2] + [1];", "Line 1, Col 5: Operator + needs vectors of the same length"),
        ('x = "a" ? 1 : 2;', "Line 1, Col 5: A condition must be a double"),
        ("x = avg([]);", "Line 1, Col 5: Function avg needs at least one value"),
        (
            "x = $PendingTasks.GetSample(TimeInterval_Hour, 70);",
            "Line 1, Col 5: Insufficient samples of $PendingTasks: fewer than 70 percent are available",
        ),
        ("$PendingTasks = 3;", "Line 1, Col 1: The variable $PendingTasks is read-only"),
        *(
            (
                f"$NodeDeallocationOption = {value};",
                f"Line 1, Col 1: The variable $NodeDeallocationOption must be one of {', '.join(sorted(evaluate.OPTIONS))}",
            )
            for value in ("[1,2]", "1", "time()", "TimeInterval_Day", "$PendingTasks", '"x"')
        ),
        ("$NodeDeallocationOption = later;", "Line 1, Col 27: Undefined symbol: later"),
        ("$WallClockSeconds = 1;", "Line 1, Col 1: Undefined symbol: $WallClockSeconds"),
        ("x = 5.GetSample(1);", None),
    ],
)
def test_formulas_that_cannot_be_evaluated(formula: str, message: str | None) -> None:
    if message is None:
        with pytest.raises((FormulaSyntaxError, EvaluationError)):
            evaluate.run(parse(formula), scope())
        return
    with pytest.raises(EvaluationError) as caught:
        evaluate.run(parse(formula), scope())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("formula", "position"),
    [
        ("x = ;", "Line 1, Col 5"),
        ("x = (1 + 2;", "Line 1, Col 11"),
        ("x = 1\ny = 2;", "Line 2, Col 1"),
        ("x = 7 % 2;", "Line 1, Col 7"),
        ("x = 1 ? 2;", "Line 1, Col 10"),
        ("= 3", "Line 1, Col 1"),
        (";".join(["a=1"] * 101), "Line 1, Col 1"),
    ],
)
def test_formulas_that_do_not_parse(formula: str, position: str) -> None:
    with pytest.raises(FormulaSyntaxError) as caught:
        parse(formula)
    assert str(caught.value).startswith(position)


@given(st.text(alphabet='$ax1.+-*/()?:;=<>&|!,"[] \n', max_size=40))
def test_no_formula_breaks_the_emulator(formula: str) -> None:
    message = "Line 1, Col 1: none"
    try:
        evaluate.results(evaluate.run(parse(formula), scope()), 0.0, 0.0)
    except (FormulaSyntaxError, EvaluationError) as error:
        message = str(error)
    assert message.startswith("Line ")


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from("+-*<>"))
def test_arithmetic_is_that_of_doubles(a: float, b: float, operator: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b, "<": float(a < b), ">": float(a > b)}[operator]
    text = f"x = ({a:f}) {operator} ({b:f});"
    found = evaluate.run(parse(text), scope())["x"]
    assert found == pytest.approx(expected, rel=1e-6, abs=10) or operator in "<>*"


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("+".join(["1"] * 500), "500"),
        ("(" * 2000 + "7" + ")" * 2000, "7"),
        ("-" * 4000 + "7", "7"),
        ("!" * 4001 + "7", "0"),
        ("max(" * 1000 + "7" + ")" * 1000, "7"),
        ("[" * 1000 + "7" + "]" * 1000, "[7]"),
        ("0 ? 1 : " * 900 + "7", "7"),
        ("1 ? " * 900 + "7" + ": 0" * 900, "7"),
        ("(1+" * 1500 + "1" + ")" * 1500, "1501"),
        ("||".join(["0"] * 1000), "0"),
    ],
)
def test_no_formula_is_too_deep(expression: str, shown: str) -> None:
    """A formula may have 8 KB; evaluation takes no stack for it."""
    assert value(f"x = {expression};") == shown


@pytest.mark.parametrize(
    "expression",
    [
        "1e308 * 10",
        "1e999",
        "-1e308 - 1e308",
        "sum([1e308, 1e308])",
        "avg([1e308, 1e308])",
        "norm([1e308])",
        "range([-1e308, 1e308])",
        "[1e308] * [10]",
        "time() + TimeInterval_Year * 9000",
        "time() - TimeInterval_Year * 3000",
        'time("9999-12-31T23:59:59Z") + TimeInterval_Week',
        "TimeInterval_Year * 1e300",
        "TimeInterval_Week / 1e-300",
        'time("0000-01-01")',
        'time("Fri, 99 Zed 99999 99:99:99 GMT")',
        "val([1, 2], 1e300)",
        "val([1, 2], -1)",
        "percentile([1, 2], 1e300)",
        "$PendingTasks.GetSample(0.5)",
    ],
)
def test_results_out_of_range_are_evaluation_errors(expression: str) -> None:
    with pytest.raises(EvaluationError, match=r"^Line 1, Col \d+: "):
        value(f"x = {expression};")


def test_samples_of_any_span_and_count_can_be_requested() -> None:
    assert value("x = len($PendingTasks.GetSample(1e300));") == "40"
    assert value("x = len($PendingTasks.GetSample(TimeInterval_Year * 29000));") == "40"


def test_vectors_do_not_grow_without_end() -> None:
    doubling = "v = [1,1,1,1,1,1,1,1];" + "v = [v,v,v,v,v,v,v,v];" * 90
    with pytest.raises(EvaluationError, match="at most 100000 values"):
        value(f"{doubling} x = len(v);")


def test_a_formula_does_not_add_vectors_for_minutes() -> None:
    doubling = "v = [1,1,1,1,1,1,1,1];" + "v = [v,v];" * 13
    with pytest.raises(EvaluationError, match="more than 500000 values of doubleVecs"):
        value(f"{doubling} x = avg({'+'.join(['v'] * 3500)});")
