"""Collage scenes: torn and cut pieces of many materials at several depths, seen twice; made without Blender."""
