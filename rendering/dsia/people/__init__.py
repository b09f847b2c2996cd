"""People: characters on a skeleton that walk, run, wave, sit, turn, bend, reach and jump."""
