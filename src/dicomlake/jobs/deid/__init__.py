"""De-identification as jobs: folders of files, plans, and what a lake knows of a patient."""
