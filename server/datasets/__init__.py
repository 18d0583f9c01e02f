"""Training data and tables out of judgements: formats, validation, splits, exports."""
