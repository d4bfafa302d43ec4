"""The only package that knows Kopf: it watches, reconnects and logs in; everything else is ours (docs/architecture.md#kopf)."""
