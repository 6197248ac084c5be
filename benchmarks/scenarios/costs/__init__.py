"""What one reaction and one feed cost on this machine, for `reactions capacity`."""
