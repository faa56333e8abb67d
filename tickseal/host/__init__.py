"""What touches the machine: its clock, its disk, its log."""
