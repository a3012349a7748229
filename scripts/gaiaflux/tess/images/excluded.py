import numpy as np
def excluded_pixels(place, cadenceno, stamp):
    return np.zeros((len(cadenceno), stamp[1]-stamp[0], stamp[3]-stamp[2]), bool)
