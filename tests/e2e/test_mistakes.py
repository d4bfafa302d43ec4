"""What people are told at apply of the mistakes that they make, by the real API server with the operator switched off.

`tests/data/mistakes` holds manifests and messages. After a change write the messages again with `UPDATE_GOLDEN=1` and read them as
an editor: each says what is wrong, with the value, and then what to do. What only the operator can tell is in tests/quick.
"""

from __future__ import annotations

import re

import pytest

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from localcluster import LocalCluster
from localcluster.apiclient import ApiClient, Refused
from support.mistakes import AT_APPLY, check, mistakes

_NOT_CHECKED = "<nil>: Invalid value: null: some validation rules were not checked"
"""What the API server adds, in its own words, where a schema is broken and not a rule."""


def complaints(cluster: LocalCluster, manifest: dict[str, object]) -> list[str]:
    """What the API server has against a manifest, by a dry run that refuses unknown properties as kubectl does."""
    plural = KINDS[Kind(str(manifest["kind"]))].plural
    path = f"/apis/{GROUP}/{VERSION}/namespaces/default/{plural}?dryRun=All&fieldValidation=Strict"
    try:
        ApiClient(cluster.url, cluster.ca_file, cluster.admin_token).object(path, method="POST", body=manifest)
    except Refused as refused:
        text = re.sub(r"^POST \S+ (.*? is invalid: )?", "", str(refused)).removeprefix("[").removesuffix("]")
        return sorted(re.split(r", (?=(?:[.]?(?:spec|metadata)[.\[:]|<nil>: ))", text))
    return []


@pytest.fixture(scope="module")
def told(installed: LocalCluster) -> dict[str, list[str]]:
    found = {title: complaints(installed, manifest) for title, manifest in mistakes().items()}
    return {title: texts for title, texts in found.items() if texts}


def test_mistakes_are_told_at_apply(told: dict[str, list[str]]) -> None:
    check(told, AT_APPLY)


def test_a_mistake_is_told_once(told: dict[str, list[str]]) -> None:
    several = {title: texts for title, texts in told.items() if len(texts) != 1}
    # A wrong type is told twice, and more, by the API server itself.
    assert {
        title for title, texts in several.items() if not any(text.startswith(_NOT_CHECKED) for text in texts)
    } == set()
    assert set(several) == {"a number as a text"}


def test_no_password_is_repeated(told: dict[str, list[str]]) -> None:
    assert "hush" not in str(told)


@pytest.mark.parametrize(
    "title",
    [
        "no pool",
        "a schedule with neither way",
        "an ID with a blank",
        "a placeholder beyond the sweep",
        "a time zone that does not exist",
        "an hour that does not exist",
    ],
)
def test_the_most_frequent_ones_have_one_message_and_nothing_beside(told: dict[str, list[str]], title: str) -> None:
    assert len(told[title]) == 1
