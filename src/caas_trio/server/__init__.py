"""The server: it listens, admits connections, runs each in a nursery, and stops in order."""
