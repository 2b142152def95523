"""Writes the audit trail: who took part in what, as messages of the DICOM standard (PS3.15 A.5)."""
