"""Export into the HDF5 layout of CNN Filter DB."""
