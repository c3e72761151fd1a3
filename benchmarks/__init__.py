"""mgrad beside JAX, PyTorch and NumPy: `python -m benchmarks [W1 W2 W4]`.

One file per workload (`w01_`, `w02_`, ...) says what is computed, by each library in
its own idiom. The rest says how it is timed: `case` (what a workload declares),
`contenders` (a function differentiated by each library), `worker` (one process that
times), `report` (tables) and `__main__` (the runner, one process per measurement).
"""
