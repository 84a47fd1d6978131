"""What root trusts of the disk: files and documents opened and checked, privileges given up."""
