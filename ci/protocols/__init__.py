"""Holds the servers of docs/examples against clients that nobody here wrote: `python -m ci.protocols`."""
