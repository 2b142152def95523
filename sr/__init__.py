"""Results as DICOM objects: pure functions from findings to data sets."""
