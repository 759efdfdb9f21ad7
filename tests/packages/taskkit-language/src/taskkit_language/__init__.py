"""Language models of bytes with taskkit."""
