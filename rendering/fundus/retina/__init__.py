"""A procedurally grown retina: vessel trees, disc, macula, choroid and lesions, painted as a map of the eye."""
