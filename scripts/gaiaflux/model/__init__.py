"""Frozen dataclasses, registries and table schemas; no input or output."""
