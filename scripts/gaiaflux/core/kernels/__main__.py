"""``python -m gaiaflux.core.kernels`` compiles all kernels of the package whose machine code is not there yet."""

from gaiaflux.core.kernels.collect import compile_all

__all__ = ["compile_all"]

if __name__ == "__main__":
    compile_all()
