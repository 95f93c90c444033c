"""The tests of caas_trio; `conftest` has the house rules."""
