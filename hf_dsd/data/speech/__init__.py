"""Recordings with transcripts: reading, augmenting, batching."""
