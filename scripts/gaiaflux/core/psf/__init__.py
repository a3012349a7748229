"""The point-spread function: its model, its fit to a frame, all stars' fluxes with it; no search for stars."""
