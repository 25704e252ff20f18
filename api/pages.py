"""Pagination over HTTP: opaque tokens and Link headers (RFC 8288)."""

import base64
import json
from datetime import datetime

from fastapi import Request, Response

from api.lookups import is_id
from api.problems import invalid_field
from api.wire import PageQuery
from nas.store.pages import PageRequest, PageStart


def page_of(query: PageQuery) -> PageRequest:
    """The page that a query asks for.

    Raises:
        ProblemError: 422 naming ``page_token``.
    """
    return PageRequest(size=query.page_size, after=None if query.page_token is None else _start(query.page_token))


def next_page(request: Request, response: Response, following: PageStart | None) -> str | None:
    """The token of the next page, which the Link header gets, too; None on the last page."""
    if following is None:
        return None
    text = json.dumps([following.created_at.isoformat(), following.id])
    token = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    url = request.url.include_query_params(page_token=token)
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return token


def _start(token: str) -> PageStart:
    try:
        moment, entry_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start = PageStart(datetime.fromisoformat(moment), entry_id)
        if start.created_at.tzinfo is None or not isinstance(entry_id, str) or not is_id(entry_id):
            raise ValueError
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise invalid_field("query", "page_token", "not a token of this service; start without one") from error
    return start
