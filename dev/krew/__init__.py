"""The plugin of kubectl for krew: its manifest, and the archive that the manifest names.

The manifest in the repository, kubectl/krew/azure-batch.yaml, has no checksums: those of an archive are known when it is built.
`make krew` builds the archive and writes the manifest with checksums beside it; docs/release.md.
"""
