"""The agent: measures on its own machine what a service elsewhere asks for. Needs a runtime and numpy."""
