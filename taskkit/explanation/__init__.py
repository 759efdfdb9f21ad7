"""Why an answer is what it is: what of an input it rests on, and which training examples are like it."""
