"""From a dataset, images or videos to one array of faces and one table."""
