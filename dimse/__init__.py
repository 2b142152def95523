"""DICOM messages, PDUs and file headers as bytes, and the seam to pynetdicom's socket."""
