"""Export kernels into the layouts of other tools."""
