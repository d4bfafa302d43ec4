"""Reference pages and editor schemas: complete, linked, and of the same opinion as the CRDs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from azure_batch_operator.api.kinds import KINDS, Kind, KindInfo
from azure_batch_operator.reference import editor_schemas, page, pages


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_every_link_of_a_page_leads_somewhere(info: KindInfo) -> None:
    text = page(info)
    anchors = re.findall(r' id="([^"]*)"', text)
    links = set(re.findall(r' href="#([^"]*)"', text))
    assert len(set(anchors)) == len(anchors)
    assert links <= {*anchors, "spec", "status"}
    assert anchors


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_every_property_of_the_spec_is_on_its_page(info: KindInfo) -> None:
    text = page(info)
    assert [name for name in info.spec.wire_names() if f"<code>{name}</code>" not in text] == []


class Tree(HTMLParser):
    """Checks that a page's lists and folds are nested as they should be, and collects what folds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.folds: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "details":
            self.folds.append(str(dict(attrs)["id"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_tree_of_a_page_is_whole_and_folds_where_there_is_something_below() -> None:
    tree = Tree()
    tree.feed(page(KINDS[Kind.JOB]).split("-->", 1)[1])
    assert tree.open == []
    assert {"spec.taskFactory", "spec.taskFactory.repeatTask", "spec.tasks[]", "status.failures[]"} <= set(tree.folds)
    assert "spec.priority" not in tree.folds


def test_the_index_lists_kinds_and_secrets() -> None:
    text = pages()["README.md"]
    assert all(f"{kind.lower()}.md" in text for kind in Kind)
    assert "`userAccounts.password` → `passwordSecretRef`" in text


def test_editors_complete_enums_and_take_any_casing() -> None:
    schema = json.loads(editor_schemas()["batchpool_v1alpha1.json"])
    spec = schema["properties"]["spec"]
    fill = spec["properties"]["taskSchedulingPolicy"]["properties"]["nodeFillType"]
    assert fill["anyOf"][0] == {"enum": ["spread", "pack"]}
    assert re.match(fill["anyOf"][1]["pattern"], "Pack")
    assert spec["additionalProperties"] is False
    assert spec["properties"]["displayName"]["type"] == ["string", "null"]


def test_editors_refuse_what_the_api_server_refuses_by_name() -> None:
    schema = json.loads(editor_schemas()["batchpool_v1alpha1.json"])
    refused = schema["properties"]["spec"]["properties"]["maxTasksPerNode"]
    assert refused["errorMessage"] == "there is no maxTasksPerNode: use taskSlotsPerNode"
    assert refused["type"] == "null"


def test_editors_refuse_properties_of_an_object_that_has_none() -> None:
    schema = json.loads(editor_schemas()["batchoperation_v1alpha1.json"])
    assert schema["properties"]["spec"]["properties"]["stopResize"]["additionalProperties"] is False
    assert "additionalProperties" not in schema["properties"]["metadata"]


def test_no_pattern_of_an_editor_schema_is_only_for_go() -> None:
    assert "(?i:" not in "".join(editor_schemas().values())
