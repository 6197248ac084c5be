"""One module or package a scenario; each has a click command ``main``."""
