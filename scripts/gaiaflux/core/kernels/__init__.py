"""How kernels are compiled, kept, loaded and called, and what several of them call; the kernels are elsewhere."""
