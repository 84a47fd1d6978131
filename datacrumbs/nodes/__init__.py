"""Running the same command on many nodes, over ssh."""
