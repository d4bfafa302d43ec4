"""docs/az-batch.md as data, and the commands of `az batch`, which the page must have: all of them, and only those.

The commands are those that `load_command_table` of the public source registers, by release or commit; see the end of the page.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "az-batch.md"

_CURRENT = """
account autostorage-keys sync
account create
account delete
account identity assign
account identity remove
account identity show
account keys list
account keys renew
account list
account login
account network-profile network-rule add
account network-profile network-rule delete
account network-profile network-rule list
account network-profile set
account network-profile show
account outbound-endpoints
account set
account show
application create
application delete
application list
application package activate
application package create
application package delete
application package list
application package show
application set
application show
application summary list
application summary show
job create
job delete
job disable
job enable
job list
job prep-release-status list
job reset
job set
job show
job stop
job task-counts show
job-schedule create
job-schedule delete
job-schedule disable
job-schedule enable
job-schedule list
job-schedule reset
job-schedule set
job-schedule show
job-schedule stop
location list-skus
location quotas show
node delete
node file delete
node file download
node file list
node file show
node list
node reboot
node remote-login-settings show
node scheduling disable
node scheduling enable
node service-logs upload
node show
node user create
node user delete
node user reset
pool autoscale disable
pool autoscale enable
pool autoscale evaluate
pool create
pool delete
pool list
pool node-counts list
pool reset
pool resize
pool set
pool show
pool supported-images list
pool usage-metrics list
private-endpoint-connection list
private-endpoint-connection show
private-link-resource list
private-link-resource show
task create
task delete
task file delete
task file download
task file list
task file show
task list
task reactivate
task reset
task show
task stop
task subtask list
"""
_REMOVED = """
certificate create
certificate delete
certificate list
certificate show
job all-statistics show
node reimage
node remote-desktop download
pool all-statistics show
"""
CURRENT = frozenset(_CURRENT.strip().splitlines())
"""Of Azure CLI 2.91.0."""
REMOVED = frozenset(_REMOVED.strip().splitlines())
"""Of Azure/azure-cli at commit 5ee89a457012288ad1e542d706f18bc1ae736f0e, and no longer of 2.91.0."""

_SPAN = re.compile(r"`([^`]+)`")
_ROW = re.compile(r"(?m)^\| (`az batch [^|]*) \| ([^|]*) \|$")
_ARGUMENT = re.compile(r" (?:-{1,2}[a-z]|\$).*")


def rows(page: str) -> list[tuple[list[str], str]]:
    """The commands of each row without their options, and what stands beside them."""
    return [
        ([_ARGUMENT.sub("", span).removeprefix("az batch ") for span in _SPAN.findall(commands)], beside)
        for commands, beside in _ROW.findall(page)
    ]


def lines(page: str) -> list[str]:
    """What the page says to type, in its order: each line once."""
    spans = [span for _, beside in rows(page) for span in _SPAN.findall(beside)]
    return list(dict.fromkeys(span for span in spans if span.startswith("kubectl ")))


def manifests(page: str) -> dict[str, str]:
    """The manifests of the page by the name of the file."""
    return dict(re.findall(r"(?ms)^<!-- (\S+\.yaml) -->\n```yaml\n(.*?)^```", page))
