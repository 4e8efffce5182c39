"""Compiled kernels: how they are built (`build`), found and called (`bind`), and the memory they work on (`memory`)."""
