"""One command under trace, from one terminal: what is composed, who decides, the run beside it, the command itself."""
