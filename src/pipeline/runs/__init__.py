"""One training run as a thing: its configuration, its files, its record, where it comes from."""
