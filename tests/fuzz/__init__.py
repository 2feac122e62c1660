"""Fuzz targets: what any bytes may do to the splitter and any text to the transforms."""
