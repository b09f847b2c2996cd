"""People and things that move between two pictures, and the second moment seen from the first camera."""
