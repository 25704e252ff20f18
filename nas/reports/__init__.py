"""Reports: a search as one HTML page."""
