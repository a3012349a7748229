"""Plate solutions: matching, search, fit and check; the projection itself lives in `sky`."""
