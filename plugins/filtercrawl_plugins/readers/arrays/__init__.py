"""Kernels among arrays that have only names and shapes, as NumPy archives, msgpack and pickles of arrays hold them."""
