"""The simulated network beside this machine's kernel, and the service on it under every seed."""
