"""Federation: sites answer the same study with masked counts, and make the same dataset at home."""
