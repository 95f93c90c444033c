"""The parts that several test modules share."""
