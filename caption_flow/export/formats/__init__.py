"""Export: the formats, a file each."""
