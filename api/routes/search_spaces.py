"""Search spaces."""

from fastapi import APIRouter, Depends

from api.dependencies import refuse_parameters, require_scope
from api.wire import GeneOut, SearchSpaceOut, SearchSpacesOut
from search_spaces.registry import get_space, space_names

router = APIRouter(tags=["search spaces"], dependencies=[require_scope("read"), Depends(refuse_parameters)])


@router.get("/v1/search-spaces")
def list_search_spaces() -> SearchSpacesOut:
    """Lists the search spaces with their genes."""
    return SearchSpacesOut(
        search_spaces=[
            SearchSpaceOut(
                name=name,
                task=space.task.as_json(),
                genes=[GeneOut(name=gene.name, part=gene.part, choices=list(gene.choices)) for gene in space.genes],
                size_log10=space.size_log10,
            )
            for name, space in ((name, get_space(name)) for name in space_names())
        ]
    )
