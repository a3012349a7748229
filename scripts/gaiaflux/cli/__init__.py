"""The command `gaiaflux`; each verb calls the library."""
