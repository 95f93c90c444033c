"""The server: it listens, lets in, holds each connection in a nursery, and stops in order."""
