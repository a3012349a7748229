"""The archive of TESS (MAST): queries by astroquery, bytes by `gaiaflux.io.transport`, files that are checked."""
