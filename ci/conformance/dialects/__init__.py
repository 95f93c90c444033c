"""Servers of several dialects, right and wrong, which prove that the suite judges them as they are."""
