"""From networks to files, artifacts and measurements: preparing, compiling, measuring, evaluating."""
