"""The table itself, the folder in which it opens at once, and the cache of such folders."""
