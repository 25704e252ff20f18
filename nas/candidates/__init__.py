"""From a genotype to files and figures: preparing, measuring, evaluating for real."""
