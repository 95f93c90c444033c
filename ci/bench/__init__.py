"""The benchmark: servers that do the same, side by side, under one load generator."""
