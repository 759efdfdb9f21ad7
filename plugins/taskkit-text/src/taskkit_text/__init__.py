"""Text classification for taskkit."""
