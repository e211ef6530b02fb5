"""What lies on the disk: atomic writing, checksums, and the names and rules of a run folder."""
