"""Servers that manicule is measured against, and the model's server that feeds them all."""
