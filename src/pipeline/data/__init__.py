"""From raw bytes to prepared splits. No heavy imports here, so that `download` starts fast."""
