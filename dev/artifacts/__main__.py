"""`make crds`: writes everything that is derived, or says what of it is stale (`--check`)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from artifacts import chart, gitops, hub, lifecycles, monitoring, operations, pages
from azure_batch_operator import generate
from azure_batch_operator.generate import ROOT, Files
from krew import manifest as krew

CHART = ROOT / "helm" / "azure-batch-operator"
MANIFESTS = ROOT / "manifests"
GITOPS = ROOT / "gitops"


def files() -> Files:
    """All files, those of the models included."""
    customizations: dict[Path, dict[str, str]] = {}
    for path, text in gitops.resource_customizations():
        target = GITOPS / "argocd" / "resource_customizations" / path
        customizations.setdefault(target.parent, {})[target.name] = text
    return {
        **customizations,
        GITOPS / "argocd": {"argocd-cm.yaml": gitops.argocd_cm()},
        GITOPS / "flux": {"kustomization.yaml": gitops.flux_kustomization()},
        **generate.files(),
        CHART / "templates" / "crds": chart.crd_templates(),
        CHART / "files": {
            "rules.yaml": chart.rules(MANIFESTS),
            "admission-policy.yaml": chart.admission_policy(MANIFESTS),
            "finalizer-policy.yaml": chart.finalizer_policy(MANIFESTS),
            "alerts.yaml": monitoring.rules(),
        },
        CHART / "files" / "dashboards": monitoring.dashboards(),
        CHART: {
            "Chart.yaml": hub.chart_yaml(ROOT),
            "values.yaml": chart.values_yaml(),
            "values.schema.json": chart.values_schema(),
        },
        MANIFESTS / "watched-namespace": {"rbac.yaml": chart.watched_namespace(MANIFESTS)},
        MANIFESTS / "components" / "namespace-identities": {"rbac.yaml": chart.namespace_identities(MANIFESTS)},
        MANIFESTS / "components" / "monitoring": monitoring.manifests(),
        MANIFESTS / "components" / "runbooks": monitoring.runbooks(),
        ROOT / "kubectl" / "krew": {f"{krew.PLUGIN}.yaml": krew.template(ROOT)},
        ROOT / "docs" / "images": lifecycles.images(),
        ROOT / "docs" / "decisions": {"README.md": pages.decisions(ROOT / "docs")},
        ROOT / "docs": {
            "helm-values.md": chart.values_page(),
            "client.md": pages.with_groups((ROOT / "docs" / "client.md").read_text()),
            "configuration.md": pages.configuration(),
            "metrics.md": pages.metrics(),
            "operations.md": operations.page(),
            "recipes.md": pages.with_manifests((ROOT / "docs" / "recipes.md").read_text(), ROOT),
        },
    }


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; fail if files are stale.")
def main(check: bool) -> None:
    """Write or check the files."""
    whole = [*generate.files(), CHART / "templates" / "crds", CHART / "files" / "dashboards"]
    wanted = files()
    if not check:
        done = generate.write(wanted, whole)
        for line in done:
            click.echo(line)
        click.echo(f"{len(done)} of {sum(map(len, wanted.values()))} generated files changed")
    elif found := generate.stale(wanted, whole):
        sys.exit(f"not what it is derived from: {', '.join(found)}: run make crds")


if __name__ == "__main__":
    main()
