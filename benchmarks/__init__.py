"""Side-by-side measurements, by command: every figure is a ratio from one run on one machine."""
