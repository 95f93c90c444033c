"""The checks of the harnesses, as plain functions of the input bytes, without atheris.

Each module has a `check(data)`, which returns if the promise holds and raises if it does not, and
`MODULES`, the modules of the package whose coverage it answers for.
"""
