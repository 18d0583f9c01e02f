"""Judgements of answers: taken in, made durable, moved on, and what was refused kept."""
