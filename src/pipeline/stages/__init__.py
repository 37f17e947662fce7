"""One file a stage: read the settings, call the rooms, write the files."""
