"""Dialects: their files, and how servers of them are judged."""
