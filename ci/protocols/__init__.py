"""Holds the servers of docs/examples against independent clients: `python -m ci.protocols`."""
