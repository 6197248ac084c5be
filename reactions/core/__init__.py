"""What every other package uses: settings, constants, errors, values. Imports none of them."""
