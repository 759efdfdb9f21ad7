"""A network as a program that runs without the code that made it, and the proof that it answers alike."""
