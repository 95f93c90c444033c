"""What the harnesses check, as plain functions of the input bytes: no atheris here.

Each module has a `check(data)`, which returns if the promise holds and raises if it does not, and
`MODULES`, the modules of the package whose coverage it answers for.
"""
