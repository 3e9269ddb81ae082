"""From bytes to pixels: archives, folders, images, videos and face detection."""
