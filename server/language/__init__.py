"""Plain text work shared by ranking and answers: terms, sentences, cleaning."""
