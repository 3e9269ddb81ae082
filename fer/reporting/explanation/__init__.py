"""Saliency maps, heat maps and galleries of faces."""
