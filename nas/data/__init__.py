"""Images and labels: where they come from, how they are checked, split and normalized."""
