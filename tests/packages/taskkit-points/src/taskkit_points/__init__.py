"""Components without code, whose declarations and sections recipes are checked against."""
