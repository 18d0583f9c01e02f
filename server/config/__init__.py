"""The settings table and how it is read."""
