"""Jobs under kills, pauses and outages: what is lost, doubled or written by a worker that lost its lease."""
