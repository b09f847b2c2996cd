"""SIDAR scenes: a painted plane in several frames under changing lights, occluders and cameras."""
