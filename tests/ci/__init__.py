"""Tests of what the checks in `ci/` share."""
