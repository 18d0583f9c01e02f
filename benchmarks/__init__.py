"""Programs that measure one thing each and print one table."""
