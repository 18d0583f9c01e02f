"""Redis and its in-process twins; the only place that imports redis."""
