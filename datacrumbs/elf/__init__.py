"""What an ELF file and its debug information say: functions, places for probes, arguments, libraries."""
