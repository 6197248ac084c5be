"""What the scenarios and the comparison share."""
