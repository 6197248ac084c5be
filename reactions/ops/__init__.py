"""What operators look at: doctor, inspection, metrics."""
