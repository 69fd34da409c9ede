"""netkube: a Kubernetes cluster made of one Linux machine's own processes."""
