"""Records of the topics, one versioned model each."""
