"""The faults, by what they strike; ``kinds`` lists them all."""
