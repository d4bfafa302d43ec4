"""Diagrams of the lifecycle of each kind, as SVG: written from tables, so that they need no program and no network to be shown.

A state is a `status.phase`. `tests/unit/test_lifecycles.py` compares them with the phases that the operator's code names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

from azure_batch_operator.api.kinds import Kind

Look = Literal["way", "good", "bad"]
Place = tuple[float, float]


@dataclass(frozen=True)
class Lifecycle:
    """The phases of a kind.

    Attributes:
        states: phase → column and row, and how it looks: on its way, good (ready, or ended well), bad (a person must look).
        moves: from, to, and what makes it, if that is not obvious.
        note: lines below the picture, about what can happen in every state.
    """

    states: Mapping[str, tuple[Place, Look]]
    moves: Sequence[tuple[str, str, str]]
    note: Sequence[str] = field(default=())


_DELETED = "Deleting: the object was deleted; it goes when Azure Batch has deleted what belongs to it."
_STALLED = "Stalled, from every state: a person must act. Ready says what to do."

LIFECYCLES: Mapping[Kind, Lifecycle] = {
    Kind.ACCOUNT: Lifecycle(
        {
            "Connecting": ((0, 0.5), "way"),
            "Connected": ((1, 0.5), "good"),
            "Throttled": ((2, 0), "way"),
            "Unavailable": ((2, 1), "bad"),
        },
        [
            ("Connecting", "Connected", ""), ("Connected", "Throttled", ""), ("Throttled", "Connected", ""),
            ("Connected", "Unavailable", ""), ("Unavailable", "Connected", ""),
        ],
        ["Deleting: the object was deleted; it goes when no other object uses the account."],
    ),
    Kind.POOL: Lifecycle(
        {
            "Pending": ((0, 1), "way"),
            "Creating": ((1, 1), "way"),
            "Starting": ((2, 1), "way"),
            "Steady": ((3, 1), "good"),
            "Resizing": ((2, 0), "way"),
            "Updating": ((3, 0), "way"),
            "Remediating": ((4, 0), "way"),
            "Draining": ((4, 1), "way"),
            "UpdatePending": ((3, 2), "good"),
            "Replacing": ((4, 2), "way"),
        },
        [
            ("Pending", "Creating", ""), ("Creating", "Starting", ""), ("Starting", "Steady", ""),
            ("Steady", "Resizing", ""), ("Resizing", "Starting", ""),
            ("Steady", "Updating", ""), ("Updating", "Steady", ""),
            ("Steady", "Remediating", ""), ("Remediating", "Steady", ""),
            ("Steady", "Draining", ""), ("Draining", "Steady", ""),
            ("Steady", "UpdatePending", ""), ("UpdatePending", "Steady", ""),
            ("Steady", "Replacing", ""), ("Replacing", "Steady", ""),
        ],
        [_STALLED, _DELETED],
    ),
    Kind.JOB: Lifecycle(
        {
            "Pending": ((0, 1), "way"),
            "Queued": ((0, 0), "way"),
            "Creating": ((1, 1), "way"),
            "Submitting": ((2, 1), "way"),
            "Running": ((3, 1), "good"),
            "Waiting": ((2, 0), "good"),
            "Completing": ((4, 1), "way"),
            "Terminating": ((4, 0), "way"),
            "Succeeded": ((5, 1), "good"),
            "Failed": ((5, 0), "bad"),
            "Suspending": ((1, 2), "way"),
            "Suspended": ((2, 2), "good"),
            "Enabling": ((3, 2), "way"),
            "Disabled": ((3, 0), "good"),
            "Held": ((4, 2), "bad"),
        },
        [
            ("Queued", "Creating", ""), ("Pending", "Creating", ""), ("Creating", "Submitting", ""),
            ("Submitting", "Running", ""), ("Running", "Waiting", ""), ("Waiting", "Running", ""),
            ("Running", "Completing", ""), ("Running", "Terminating", ""), ("Completing", "Succeeded", ""),
            ("Completing", "Failed", ""), ("Terminating", "Failed", ""), ("Terminating", "Succeeded", ""),
            ("Submitting", "Suspending", ""), ("Suspending", "Suspended", ""), ("Suspended", "Enabling", ""),
            ("Enabling", "Running", ""), ("Running", "Held", ""), ("Held", "Running", ""),
            ("Running", "Disabled", ""), ("Disabled", "Running", ""),
        ],
        ["A job can be suspended in every state until it has ended.", _STALLED, _DELETED],
    ),
    Kind.TASK: Lifecycle(
        {
            "Pending": ((0, 0), "way"),
            "Running": ((1, 0), "good"),
            "Succeeded": ((2, 0), "good"),
            "Failed": ((1, 1), "bad"),
        },
        [
            ("Pending", "Running", ""), ("Running", "Pending", ""),
            ("Running", "Succeeded", ""), ("Running", "Failed", ""), ("Failed", "Pending", "retry-failed"),
        ],
        ["From Running back to Pending: a retry, or the node was lost.", _STALLED, _DELETED],
    ),
    Kind.SCHEDULE: Lifecycle(
        {
            "Pending": ((0, 0.5), "way"),
            "Creating": ((1, 0.5), "way"),
            "Active": ((2, 0.5), "good"),
            "Updating": ((2, -0.5), "way"),
            "Suspended": ((2, 1.5), "good"),
            "Terminating": ((3, 0.5), "way"),
            "Completed": ((4, 0.5), "good"),
        },
        [
            ("Pending", "Creating", ""), ("Creating", "Active", ""), ("Active", "Updating", ""), ("Updating", "Active", ""),
            ("Active", "Suspended", ""), ("Suspended", "Active", ""), ("Active", "Terminating", ""),
            ("Terminating", "Completed", ""),
        ],
        ["With cron there is nothing to create, update or terminate: the schedule is Active or Suspended.", _STALLED, _DELETED],
    ),
    Kind.OPERATION: Lifecycle(
        {
            "Pending": ((0, 0.5), "way"),
            "Running": ((1, 0.5), "way"),
            "Succeeded": ((2, 0), "good"),
            "Failed": ((2, 1), "bad"),
        },
        [("Pending", "Running", ""), ("Running", "Succeeded", ""), ("Running", "Failed", "")],
        [_STALLED, "If the object is deleted, calls that have not begun are not made."],
    ),
}  # fmt: skip

_WIDTH, _HEIGHT, _STEP_X, _STEP_Y, _EDGE = 122, 36, 164, 84, 12
_STYLE = """
    .way { fill: #eef4fb; stroke: #2a6ebb; }
    .good { fill: #e9f7ec; stroke: #2e8b57; }
    .bad { fill: #fdecea; stroke: #c0392b; }
    rect { stroke-width: 1.5; }
    .line { fill: none; stroke: #666; stroke-width: 1.5; marker-end: url(#tip); }
    .both { marker-start: url(#tip); }
    #tip path { fill: #666; }
    text { fill: #222; text-anchor: middle; font: 14px sans-serif; }
    .note { fill: #555; text-anchor: start; font-size: 13px; }
    .label { fill: #555; font-size: 12px; }
    @media (prefers-color-scheme: dark) {
      .way { fill: #16283c; stroke: #6ea8e6; }
      .good { fill: #15301f; stroke: #58b980; }
      .bad { fill: #3b1a17; stroke: #e57368; }
      .line { stroke: #aaa; }
      #tip path { fill: #aaa; }
      text { fill: #eee; }
      .note, .label { fill: #bbb; }
    }
  """


def images() -> dict[str, str]:
    """File name → SVG, for docs/images."""
    return {f"lifecycle-{kind.lower()}.svg": picture(kind, each) for kind, each in LIFECYCLES.items()}


def picture(kind: str, life: Lifecycle) -> str:
    """The diagram of a kind."""
    top = min(place[1] for place, _ in life.states.values())
    centers = {
        name: (_EDGE + _WIDTH / 2 + column * _STEP_X, _EDGE + _HEIGHT / 2 + (row - top) * _STEP_Y)
        for name, ((column, row), _) in life.states.items()
    }
    pairs = {(start, end) for start, end, _ in life.moves}
    body = [
        line
        for start, end, label in life.moves
        if (end, start) not in pairs or (start, end) == min((start, end), (end, start))
        for line in _arrow(centers[start], centers[end], label, both=(end, start) in pairs)
    ]
    for name, (_, look) in life.states.items():
        x, y = centers[name]
        body.append(
            f'<rect class="{look}" x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
            f'<text x="{x:g}" y="{y + 5:g}">{escape(name)}</text>'
        )
    bottom = max(y for _, y in centers.values()) + _HEIGHT / 2
    body += [
        f'<text class="note" x="{_EDGE}" y="{bottom + 26 + 20 * at:g}">{escape(line)}</text>'
        for at, line in enumerate(life.note)
    ]
    height = bottom + (20 * len(life.note) + 14 if life.note else 0) + _EDGE
    width = max(*(x + _WIDTH / 2 for x, _ in centers.values()), *(_EDGE + 7 * len(line) for line in life.note)) + _EDGE
    return _document(kind, width, height, body)


def _document(kind: str, width: float, height: float, body: Iterable[str]) -> str:
    lines = "\n  ".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="Lifecycle of a {escape(kind)}">\n'
        f"  <style>{_STYLE}</style>\n"
        '  <defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto-start-reverse">'
        '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>\n'
        f"  {lines}\n</svg>\n"
    )


def _arrow(start: Place, end: Place, label: str, *, both: bool) -> list[str]:
    """A straight arrow from border to border, with a tip at each end that is one."""
    x, y = end[0] - start[0], end[1] - start[1]
    (x1, y1), (x2, y2) = _border(start, (x, y)), _border(end, (-x, -y))
    lines = [f'<path class="line{" both" if both else ""}" d="M{x1:.1f},{y1:.1f} L{x2:.1f},{y2:.1f}"/>']
    if label:
        lines.append(
            f'<text class="label" x="{(x1 + x2) / 2 - 12:.1f}" y="{(y1 + y2) / 2 + 18:.1f}">{escape(label)}</text>'
        )
    return lines


def _border(center: Place, toward: Place) -> Place:
    """Where a line from the center of a box leaves it."""
    x, y = toward
    share = min(_WIDTH / 2 / abs(x) if x else 1e9, _HEIGHT / 2 / abs(y) if y else 1e9)
    return center[0] + x * share, center[1] + y * share
