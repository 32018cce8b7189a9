"""Privacy-enhancing kernels: pure and columnar, Arrow and numpy in, Arrow and numpy out."""
