"""One question from its arrival to its terminal event."""
