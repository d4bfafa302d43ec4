"""An API server in memory: storage, verbs and watch log of what the operator uses, with the rules that it must cope with.

Enforced: schemas of the generated CRDs (pruning, defaults, validation, CEL), the status subresource, generation, uid and
resourceVersion preconditions, finalizers and deletionTimestamp, owner references, terminating namespaces, and that a write which
changes nothing makes no version. Not enforced: quota of objects, managed fields, rights (see `faults` for refusals on order).

Everything here is synchronous and has effect at once; `api.StageApi` adds latency and faults, `watching` the way of events.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from azure_batch_operator.api.base import API_VERSION, FINALIZER, GROUP, RECONCILE_POLICY, VERSION
from support.stage import rules, schemas
from support.stage.patches import PatchFailedError, json_patch, merged

Body = dict[str, Any]

_CORE = {
    "namespaces": "Namespace",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "events": "Event",
    "serviceaccounts": "ServiceAccount",
    "leases": "Lease",
}
_API_VERSIONS = {"leases": "coordination.k8s.io/v1"}
OURS = frozenset(schemas.definitions())


class Refusal(Exception):  # noqa: N818
    """The answer is an error: its status, reason, text, and what fields it is about."""

    def __init__(self, status: int, reason: str, message: str, causes: Sequence[schemas.Cause] = ()) -> None:
        super().__init__(message)
        self.status, self.reason, self.causes = status, reason, tuple(causes)
        self.retry_after: float | None = None

    def body(self) -> Body:
        """A `Status` as the API server sends it."""
        body: Body = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.status, "reason": self.reason,
            "message": str(self),
        }  # fmt: skip
        if self.causes:
            causes = [{"reason": "FieldValueInvalid", "field": path, "message": text} for path, text in self.causes]
            body["details"] = {"causes": causes}
        return body


class Id(NamedTuple):
    """Where an object is: plural, namespace (empty for Namespaces), name."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Event:
    """One entry of the watch log; `body` is the object after it, or the last of it."""

    type: str
    id: Id
    version: int
    body: Body = field(repr=False)


def copied(body: Mapping[str, Any]) -> Body:
    """A deep copy, as by the wire."""
    made: Body = orjson.loads(orjson.dumps(body))
    return made


class ApiServer:
    """All objects of one cluster.

    Args:
        stamp: the present as Kubernetes writes it.
        later: calls back after so many seconds; for the garbage collector and the namespace controller.
        uid: makes a new uid.
    """

    def __init__(
        self, stamp: Callable[[], str], later: Callable[[float, Callable[[], None]], Any], uid: Callable[[], str]
    ) -> None:
        self._stamp, self._later, self._uid = stamp, later, uid
        self._objects: dict[Id, Body] = {}
        self._version = itertools.count(1000)
        self.version = 0
        self.log: list[Event] = []
        self.listeners: list[Callable[[Event], None]] = []
        self.validates = True
        """Whether CRDs are enforced; off, objects of another version of the CRDs can be made."""
        self.finalizer_at_creation = False
        """Whether BatchTasks of BatchJobs are created with the finalizer (manifests/components/finalizer-at-creation)."""
        self._names = itertools.count(1)
        for name in ("default", "kube-system"):
            self.create("namespaces", "", {"metadata": {"name": name}})

    # --- reading ---

    def find(self, id: Id) -> Body | None:
        """A copy of an object; None if there is none."""
        found = self._objects.get(id)
        return None if found is None else copied(found)

    def get(self, id: Id) -> Body:
        """The same, but a missing one is a 404."""
        found = self.find(id)
        if found is None:
            raise _not_found(id)
        return found

    def ids(self, plural: str, namespace: str = "") -> list[Id]:
        """Ids of all objects of a kind, in the order of lists; of all namespaces if none is given."""
        return sorted(
            each for each in self._objects if each.plural == plural and (not namespace or each.namespace == namespace)
        )

    def all(self, plural: str, namespace: str = "") -> list[Body]:
        """Copies of all objects of a kind."""
        return [copied(self._objects[each]) for each in self.ids(plural, namespace)]

    # --- writing ---

    def create(self, plural: str, namespace: str, body: Mapping[str, Any]) -> Body:
        """POST."""
        new = copied(body)
        metadata = new.setdefault("metadata", {})
        name = metadata.get("name") or f"{metadata.get('generateName', '')}{next(self._names):05x}"
        id = Id(plural, "" if plural == "namespaces" else namespace, name)
        self._check_namespace(id)
        if id in self._objects:
            raise Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists')
        for given in ("uid", "resourceVersion", "generation", "deletionTimestamp", "selfLink"):
            metadata.pop(given, None)
        metadata |= {"name": name, "uid": self._uid(), "creationTimestamp": self._stamp()}
        if plural != "namespaces":
            metadata["namespace"] = namespace
        kind = schemas.definitions()[plural].kind if plural in OURS else _CORE[plural]
        new |= {"apiVersion": API_VERSION if plural in OURS else _API_VERSIONS.get(plural, "v1"), "kind": kind}
        if plural in OURS:
            new.pop("status", None)
            if self.finalizer_at_creation and plural == "batchtasks" and "jobRef" in (new.get("spec") or {}):
                self._hold(id, metadata)
            new = self._admitted(id, new, None)
            new["metadata"]["generation"] = 1
        elif plural == "secrets":
            _encode(new)
        elif plural == "namespaces":
            new |= {"status": {"phase": "Active"}}
            metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        return self._store("ADDED", id, new)

    def replace(self, id: Id, body: Mapping[str, Any], status: bool = False) -> Body:
        """PUT."""
        return self._update(id, lambda _: copied(body), status=status)

    def merge(self, id: Id, patch: Mapping[str, Any], status: bool = False) -> Body:
        """PATCH with a merge patch."""
        return self._update(id, lambda before: merged(before, copied(patch)), status=status)

    def patch(self, id: Id, operations: Sequence[Mapping[str, Any]], status: bool = False) -> Body:
        """PATCH with a JSON patch; one that does not fit is a 422 that names no field."""

        def change(before: Body) -> Body:
            try:
                made: Body = json_patch(before, operations)
            except PatchFailedError as error:
                raise Refusal(
                    422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
                ) from None
            return made

        return self._update(id, change, status=status)

    def delete(self, id: Id, options: Mapping[str, Any] | None = None) -> Body:
        """DELETE; with finalizers it only begins."""
        known = self._objects.get(id)
        if known is None:
            raise _not_found(id)
        wanted = ((options or {}).get("preconditions") or {}).get("uid")
        if wanted is not None and wanted != known["metadata"]["uid"]:
            found = known["metadata"]["uid"]
            raise Refusal(
                409, "Conflict", f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
            )
        if id.plural == "namespaces":
            return self._delete_namespace(id)
        if not known["metadata"].get("finalizers"):
            return self._remove(id)
        if "deletionTimestamp" in known["metadata"]:
            return copied(known)
        new = copied(known)
        new["metadata"] |= {"deletionTimestamp": self._stamp(), "deletionGracePeriodSeconds": 0}
        if "generation" in new["metadata"]:
            new["metadata"]["generation"] += 1
        return self._store("MODIFIED", id, new)

    # --- inside ---

    def _hold(self, id: Id, metadata: Body) -> None:
        """Put the operator's finalizer on an object that the operator is to manage."""
        namespace = self._objects[Id("namespaces", "", id.namespace)]["metadata"].get("annotations", {})
        policy = metadata.get("annotations", {}).get(RECONCILE_POLICY) or namespace.get(RECONCILE_POLICY, "manage")
        finalizers = metadata.setdefault("finalizers", [])
        if policy in {"manage", "detach-on-delete"} and FINALIZER not in finalizers:
            finalizers.append(FINALIZER)

    def _update(self, id: Id, change: Callable[[Body], Body], *, status: bool) -> Body:
        before = self.get(id)
        new = change(copied(before))
        metadata, old = new.setdefault("metadata", {}), before["metadata"]
        if metadata.get("uid", old["uid"]) != old["uid"]:
            found = f"UID in precondition: {metadata['uid']}, UID in object meta: {old['uid']}"
            raise Refusal(409, "Conflict", f"Precondition failed: {found}")
        if metadata.get("resourceVersion", old["resourceVersion"]) != old["resourceVersion"]:
            raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {id.plural} "{id.name}": the object has been modified; please apply your changes to the latest version and try again')  # noqa: E501  # fmt: skip
        if status:
            new = {**before, "status": new.get("status", {})}
        else:
            fixed = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp")
            metadata |= {name: old[name] for name in fixed if name in old}
            metadata["resourceVersion"] = old["resourceVersion"]
            if id.plural in OURS:
                new |= {"status": before.get("status", {})}
            elif id.plural == "secrets":
                _encode(new)
            if "deletionTimestamp" in old and set(metadata.get("finalizers") or ()) - set(old.get("finalizers") or ()):
                text = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
                raise Refusal(422, "Invalid", text, [("metadata.finalizers", text)])
            for empty in ("finalizers", "annotations", "labels"):
                if not metadata.get(empty):
                    metadata.pop(empty, None)
        if id.plural in OURS:
            new = self._admitted(id, new, before)
            if new.get("spec") != before.get("spec"):
                new["metadata"]["generation"] += 1
        if new == before:
            return before
        if "deletionTimestamp" in old and not new["metadata"].get("finalizers"):
            self._objects[id] = new
            return self._remove(id)
        return self._store("MODIFIED", id, new)

    def _admitted(self, id: Id, body: Body, before: Body | None) -> Body:
        """The object as it is stored, by the rules of its definition."""
        definition = schemas.definitions()[id.plural]
        schema = definition.schema
        pruned = schemas.without_useless_nulls(schema, schemas.prune(schema, body))
        made: Body = schemas.with_defaults(schema, pruned)
        if not self.validates:
            return made
        # What has not changed is not judged again.
        judged = made if before is None else {name: value for name, value in made.items() if value != before.get(name)}
        causes = [
            each for each in schemas.problems(schema, judged) if before is None or each[0] in judged or "." in each[0]
        ]
        causes = causes or list(rules.problems(definition, made, before))
        if causes:
            text = "; ".join(f"{path}: {each}" for path, each in causes)
            raise Refusal(422, "Invalid", f'{definition.kind}.{GROUP} "{id.name}" is invalid: {text}', causes)
        return made

    def _store(self, type_: str, id: Id, body: Body) -> Body:
        self.version = next(self._version)
        body["metadata"]["resourceVersion"] = str(self.version)
        self._objects[id] = body
        self._tell(Event(type_, id, self.version, copied(body)))
        return copied(body)

    def _remove(self, id: Id) -> Body:
        body = self._objects.pop(id)
        self.version = next(self._version)
        body["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Event("DELETED", id, self.version, copied(body)))
        self._later(0.5, lambda: self._collect(body["metadata"]["uid"]))
        if id.namespace:
            self._later(0.1, lambda: self._finish_namespace(id.namespace))
        return copied(body)

    def _tell(self, event: Event) -> None:
        self.log.append(event)
        for listener in self.listeners:
            listener(event)

    def _collect(self, uid: str) -> None:
        """What the garbage collector does: dependents of what is gone go as well."""
        for id, body in list(self._objects.items()):
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", ())):
                self.delete(id)

    def _check_namespace(self, id: Id) -> None:
        if id.plural == "namespaces":
            return
        namespace = self._objects.get(Id("namespaces", "", id.namespace))
        if namespace is None:
            raise Refusal(404, "NotFound", f'namespaces "{id.namespace}" not found')
        if namespace["status"]["phase"] == "Terminating":
            text = f'{id.plural} "{id.name}" is forbidden: unable to create new content in namespace {id.namespace} because it is being terminated'  # noqa: E501
            raise Refusal(403, "Forbidden", text)

    def _delete_namespace(self, id: Id) -> Body:
        new = copied(self._objects[id])
        if new["status"]["phase"] == "Terminating":
            return new
        new["status"] = {"phase": "Terminating"}
        new["metadata"]["deletionTimestamp"] = self._stamp()
        stored = self._store("MODIFIED", id, new)
        self._later(0.2, lambda: self._empty_namespace(id.name))
        return stored

    def _empty_namespace(self, name: str) -> None:
        # Core kinds first: nothing waits for a Secret to be needed no more.
        contents = sorted(
            (each for each in self._objects if each.namespace == name), key=lambda each: each.plural in OURS
        )
        for each in contents:
            if each in self._objects:
                self.delete(each)
        self._later(0.1, lambda: self._finish_namespace(name))

    def _finish_namespace(self, name: str) -> None:
        id = Id("namespaces", "", name)
        known = self._objects.get(id)
        if known is None or known["status"]["phase"] != "Terminating":
            return
        if not any(each.namespace == name for each in self._objects):
            self._remove(id)


@dataclass(frozen=True)
class Route:
    """What a path names."""

    id: Id
    subresource: str = ""

    @property
    def resource(self) -> str:
        """As rights name it: `batchjobs/status`."""
        return f"{self.id.plural}/{self.subresource}" if self.subresource else self.id.plural


def route(path: str) -> Route:
    """What a path names.

    Raises:
        Refusal: 404, as for a kind that is not served.
    """
    parts = path.strip("/").split("/")
    for prefix in (["apis", GROUP, VERSION], ["apis", "coordination.k8s.io", "v1"], ["api", "v1"]):
        if parts[: len(prefix)] == prefix:
            rest = parts[len(prefix) :]
            if rest[:1] == ["namespaces"] and len(rest) > 2:
                namespace, plural, *names = rest[1:]
            else:
                namespace, (plural, *names) = "", rest or [""]
            if plural in (OURS if prefix[1] == GROUP else _CORE) or not plural:
                return Route(Id(plural, namespace, names[0] if names else ""), names[1] if len(names) > 1 else "")
    raise Refusal(404, "NotFound", "the server could not find the requested resource")


def _encode(secret: Body) -> None:
    texts = secret.pop("stringData", None) or {}
    if texts:
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _not_found(id: Id) -> Refusal:
    return Refusal(404, "NotFound", f'{id.plural} "{id.name}" not found')
