"""The Kubernetes calls of the operator: status writer, finalizers, Events, Secrets. Kopf does the watching."""
