"""The agent, which measures networks on its own machine for a service. Needs a runtime and numpy."""
