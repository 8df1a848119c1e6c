"""Scripts that run where kerafer is not installed: another processor's Python, an old runtime's, a browser.

They import nothing of kerafer, and get and give everything in files.
"""
