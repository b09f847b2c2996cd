"""Static scenes with depth, seen by two cameras: pairs that no single homography aligns."""
