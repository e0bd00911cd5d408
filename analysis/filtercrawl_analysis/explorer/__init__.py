"""The page on which people look at kernels: its local server, its files for static hosting, and the page itself."""
