"""The REST service: routes, wire types, problem documents; `api.server` serves it."""
