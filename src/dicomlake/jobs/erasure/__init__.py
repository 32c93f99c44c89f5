"""What erasing is made of: whom it is about, traces, rows, what lies around, who stays away."""
