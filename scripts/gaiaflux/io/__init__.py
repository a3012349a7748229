"""Files to model objects and back; the only home of FITS, HDF5, Parquet and archives."""
