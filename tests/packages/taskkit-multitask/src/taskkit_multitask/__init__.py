"""Two questions about one picture, answered by one network with two heads."""
