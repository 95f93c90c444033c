"""The peers: line servers as people write them, each a program of its own that says where it listens.

Each is written the way its library's documentation shows, with nothing added to please the suite.
"""
