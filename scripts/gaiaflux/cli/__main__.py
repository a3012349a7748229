"""``python -m gaiaflux.cli`` is the command `gaiaflux`."""

from gaiaflux.cli.main import main

if __name__ == "__main__":
    main()
