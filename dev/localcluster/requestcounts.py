"""Counts requests by the API server's own counters, so that tests can hold the operator to its budget of writes."""

import re
from collections import Counter
from typing import NamedTuple

WRITE_VERBS = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
"""The values of `RequestKey.verb` that change something; server-side apply counts as APPLY, not as PATCH."""

_SAMPLE = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class RequestKey(NamedTuple):
    """What requests are counted by. `verb` is in capitals; `group` and `subresource` are empty where there is none."""

    verb: str
    group: str
    resource: str
    subresource: str
    code: int


def parse_request_counts(metrics: str, *resource_prefixes: str) -> dict[RequestKey, int]:
    """Requests answered since the start of the API server, from the text of its `/metrics`.

    Only resources (plural, lower case) that begin with one of `resource_prefixes`, or all if none is given. Dry runs
    are left out: they write nothing. A WATCH is counted when it ends.
    """
    counts: Counter[RequestKey] = Counter()
    for line in metrics.splitlines():
        sample = _SAMPLE.match(line)
        if not sample:
            continue
        labels = {name: _ESCAPED.sub(_unescape, value) for name, value in _LABEL.findall(sample["labels"])}
        if labels.get("dry_run") or not labels["resource"].startswith(resource_prefixes or ""):
            continue
        key = RequestKey(
            labels["verb"], labels["group"], labels["resource"], labels["subresource"], int(labels["code"] or 0)
        )
        counts[key] += int(float(sample["value"]))
    return dict(counts)


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
