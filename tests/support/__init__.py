"""What several tests use, imported as `support.…`: conftest.py puts this folder's parent in the path."""
