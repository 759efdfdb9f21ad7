"""Pictures and captions in one space, with taskkit."""
