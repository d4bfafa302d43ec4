"""The few Kubernetes calls that are ours: status writer, finalizers, events, secrets. Watching is Kopf's."""
