"""Object detection with taskkit."""
