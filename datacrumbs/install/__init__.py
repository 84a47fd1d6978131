"""Making, changing and removing the files of an installation."""
