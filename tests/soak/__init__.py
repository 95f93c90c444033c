"""The tests of the soak: it has to find out what is wrong; nothing here is timed."""
