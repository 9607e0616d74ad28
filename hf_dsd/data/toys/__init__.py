"""Sets that are made on the spot: drawn scenes, drawn shapes, spoken digits."""
