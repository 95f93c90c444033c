"""The tests of the load behind balancers: it has to find out what is wrong."""
