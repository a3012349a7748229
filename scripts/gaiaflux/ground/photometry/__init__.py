"""Photometry of the frames of a batch, a module for each method."""
