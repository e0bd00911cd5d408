"""How kernels change over the steps of training runs."""
