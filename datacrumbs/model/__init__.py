"""What a plan and a record are: the ground of every other package."""
