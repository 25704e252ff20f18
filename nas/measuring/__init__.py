"""From a network to files, artifacts and figures: preparing, compiling, measuring, evaluating for real."""
