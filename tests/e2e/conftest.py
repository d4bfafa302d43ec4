"""The stage of the end-to-end tests: one real control plane for the whole session, private and on a free port."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster, LocalClusterError


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A running LocalCluster. Tests share it: each makes namespaces of its own."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        # The first time there are minutes of building to watch.
        with capture.global_and_fixture_disabled():
            cluster.start()
    except LocalClusterError as error:
        pytest.exit(f"The control plane for the tests does not start.\n{error}", returncode=3)
    yield cluster
    cluster.stop()
