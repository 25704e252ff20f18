"""What commands and jobs do, step by step; each step goes on where it was interrupted."""
