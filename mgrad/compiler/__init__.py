"""The compiler: graph -> kernels -> program -> machine code."""
