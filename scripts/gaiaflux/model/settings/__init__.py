"""Typed sections of the configuration; made from its schema, not written by hand."""
