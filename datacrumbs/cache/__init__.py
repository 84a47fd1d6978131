"""What was found out, kept for as long as what it depended on stays the same."""
