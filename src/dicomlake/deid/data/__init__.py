"""Tables of the Standard; see README.md."""
