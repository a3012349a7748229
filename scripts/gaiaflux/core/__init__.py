"""Pure numerics: arrays in, new arrays or tables out."""
