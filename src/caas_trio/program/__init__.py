"""The program: `python -m caas_trio`, its options, its signals and its processes."""
