"""The figures of the report, drawn on axes that are given; no HTML."""
