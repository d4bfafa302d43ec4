"""The only package that knows Kopf: it watches, reconnects and logs in; everything else is ours (design §5; kopf.md §0)."""
