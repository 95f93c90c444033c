"""The supervisor in this process, with simulated workers and a clock of its own."""
