"""Data: from raw bytes to batches on the device."""
