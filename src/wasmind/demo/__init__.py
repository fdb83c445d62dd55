"""The demo: a real image classifier, prepared from packages and served by a function."""

SIDE = 224
"""Height and width of the images that the classifier takes, in pixels."""
CLASSES = 1000
