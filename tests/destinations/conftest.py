"""The sites: every test that asks for `site` runs once for each destination."""

from collections.abc import Iterator

import pytest

from tests.destinations.sites import SITES, Site


@pytest.fixture(scope="module", params=SITES)
def standing_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One for all tests of a file."""
    with SITES[request.param]() as site:
        yield site


@pytest.fixture
def site(standing_site: Site) -> Site:
    standing_site.renew()
    return standing_site
