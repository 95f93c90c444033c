"""The other end: `connect`, and a line client for a terminal (`python -m caas_trio.client`)."""
