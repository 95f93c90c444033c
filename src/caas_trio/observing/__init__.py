"""What is seen of a server: the log, the figures, and where they are asked for."""
