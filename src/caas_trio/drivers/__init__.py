"""The drivers: they move bytes between sockets or streams and what converses over them."""
