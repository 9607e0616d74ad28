"""These tests need torchvision: they are collected where it is installed, by `make test-vision`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torchvision") else ["test_*.py"]
