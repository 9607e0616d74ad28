"""The method, for any training loop, with torch alone: when (schedule), which (targets), how much (selection)."""
