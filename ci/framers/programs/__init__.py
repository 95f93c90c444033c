"""Shims: each reads its standard input as one library does, and prints what it has found."""
