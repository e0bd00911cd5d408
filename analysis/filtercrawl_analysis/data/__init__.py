"""Reading a dataset folder: the view that analyses get, its kernels and its sketches."""
