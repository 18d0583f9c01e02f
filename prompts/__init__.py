"""What is said to the model: versioned text files and their loader."""
