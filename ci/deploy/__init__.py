"""Holds docs/deploy against the real thing: load balancers under load, and Kubernetes' schemas."""
