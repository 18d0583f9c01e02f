"""Requests to addresses that others named: checked, resolved once, connected as checked."""
