import numpy as np
def sky_excess(residual, mean):
    return np.zeros(len(residual), bool)
