"""The verbs: index, compact, vocabulary, query, demo. They report to a Progress and never print."""
