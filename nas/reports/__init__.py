"""Reports for people: a search as one HTML page."""
