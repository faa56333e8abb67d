"""From segments to frames: the table of streams, what opens them, and what they mean."""
