"""A dataset or its light curves in other formats."""
