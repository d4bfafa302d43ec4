"""Label selectors with the semantics of Kubernetes, for namespaces that may use an account."""

from __future__ import annotations

from collections.abc import Mapping

from azure_batch_operator.api.account import AllowedNamespaces, LabelSelector


def allows(allowed: AllowedNamespaces | None, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a namespace may use an account of another one: it is named, it is selected, or all are let in."""
    if allowed is None:
        return False
    if allowed.all or name in (allowed.names or ()):
        return True
    return allowed.selector is not None and matches(allowed.selector, labels)


def may_allow(allowed: AllowedNamespaces, name: str) -> bool:
    """Whether a namespace whose labels are not known may be let in."""
    return allowed.selector is not None or allows(allowed, name, {})


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil every part of a selector; an empty one selects everything, as in Kubernetes."""
    if any(labels.get(name) != value for name, value in (selector.match_labels or {}).items()):
        return False
    for requirement in selector.match_expressions or ():
        value, values = labels.get(requirement.key), requirement.values or ()
        match requirement.operator:
            case "In":
                holds = value is not None and value in values
            case "NotIn":
                holds = value is None or value not in values
            case "Exists":
                holds = value is not None
            case _:
                holds = value is None
        if not holds:
            return False
    return True
