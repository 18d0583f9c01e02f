"""What reads many streams of tokens at once, and how their lateness is told."""
