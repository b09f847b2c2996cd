"""The inside of an eye, photographed twice: standard and ultra-widefield pictures of a retina with exact truth."""
