"""Routes, one module per resource.

``{name:segment}`` in a path is a part without slash and colon, so that ``/v1/predictors/ID:predict`` is the address
of an action and not of a predictor named ``ID:predict``.
"""

from starlette.convertors import StringConvertor, register_url_convertor


class _Segment(StringConvertor):
    regex = "[^/:]+"


register_url_convertor("segment", _Segment())
