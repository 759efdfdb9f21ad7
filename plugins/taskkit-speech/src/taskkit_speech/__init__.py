"""Speech recognition and classification for taskkit."""
