"""The only package that uses Kopf, to watch, reconnect and log in (docs/architecture.md#kopf)."""
