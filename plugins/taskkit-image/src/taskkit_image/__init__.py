"""Image classification for taskkit; `taskkit_image.plugin` declares what there is."""
