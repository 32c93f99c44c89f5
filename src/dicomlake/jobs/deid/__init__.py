"""De-identification of what a lake holds, or of files."""
