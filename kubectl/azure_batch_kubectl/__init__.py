"""`kubectl azure-batch`: what people do by hand, with the rights of their own kubeconfig and nothing beyond them."""
