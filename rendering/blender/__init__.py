"""The only place that imports bpy, inside the render actor."""
