"""What users write and read: pydantic models of the custom resources. No I/O, no Kubernetes client, no Batch client."""
