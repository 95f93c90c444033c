"""The protocol servers of docs/examples, spoken to in memory."""
