"""The point-spread function: its model, its fit to a frame, and the fluxes of all stars with it; no search for stars."""
