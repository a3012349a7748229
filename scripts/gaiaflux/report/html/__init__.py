"""The pages of the report: their layout and their words; figures live in `figures`."""
