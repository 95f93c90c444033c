"""Framers of libraries, judged through shims."""
