"""Scene descriptions as pure data, Blender scenes, and the Ray actors that render them."""
