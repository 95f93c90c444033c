"""The ways to report a run: as text, JSON, JUnit XML and one HTML page."""
