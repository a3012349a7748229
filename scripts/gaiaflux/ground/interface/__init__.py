"""Classes and functions for notebooks, on the library that the rules use."""
