"""Changes to the program that no test may let pass: mutants, as mutmut makes them."""
