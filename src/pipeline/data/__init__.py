"""From raw bytes to prepared splits. Nothing heavy is imported here: `download` starts light."""
