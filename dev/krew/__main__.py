"""`make krew`: build the archive of the plugin for krew, and its manifest with the checksum, in dist/."""

from __future__ import annotations

from krew.archive import build
from krew.manifest import PLUGIN, dumped, manifest
from stage import REPOSITORY


def main() -> None:
    """Build both."""
    folder = REPOSITORY / "dist"
    folder.mkdir(exist_ok=True)
    archive, checksum = build(REPOSITORY, folder)
    path = folder / f"{PLUGIN}.yaml"
    path.write_text(dumped(manifest(REPOSITORY, checksum)))
    print(
        f"{path.relative_to(REPOSITORY)} and {archive.relative_to(REPOSITORY)}: publish the archive at the uri of the manifest"
    )


if __name__ == "__main__":
    main()
