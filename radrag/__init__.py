"""radrag: cited answers and cited labels for clinical text."""
