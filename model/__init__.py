"""A cluster as data: what was asked, what is, and the input and result of every operation.

Pure: nothing here does I/O or imports another package of this project.
"""
