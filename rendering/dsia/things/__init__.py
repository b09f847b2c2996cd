"""Things that move: built from simple solids, each with its own shape, colours and pictures."""
