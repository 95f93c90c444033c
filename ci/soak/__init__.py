"""The service under load for a long time, and while it is reloaded, killed and scaled."""
