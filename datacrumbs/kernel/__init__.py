"""What the running kernel says of itself: types, functions, system calls and events."""
