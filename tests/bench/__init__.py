"""The tests of the benchmark's arithmetic and tables; nothing here is timed."""
