"""What is said on the socket: messages, markers, citations, states. No I/O, clock or randomness."""
