"""The frameworks, one file each, imported only in a worker."""
