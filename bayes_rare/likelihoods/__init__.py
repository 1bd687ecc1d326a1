"""What outcomes say of scores, as PyMC densities."""
