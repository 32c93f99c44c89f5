"""Who may see what: roles, API tokens, projects, masked counts and the audit log."""
