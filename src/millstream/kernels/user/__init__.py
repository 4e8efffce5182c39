"""What users' functions are compiled with, beside Numba. It is no kernel, and no part of their hash."""
