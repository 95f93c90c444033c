"""Fuzz harnesses for caas_trio, and the proof that they find bugs; README.md says how to use them."""
