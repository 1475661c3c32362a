"""BSCV: data sets in its published layout, built from clean footage, verified, loaded, and made into training samples."""
