"""Every registered sampler against every law. Nothing here names a sampler: a new file is examined as it is found."""

import pytest
from contract.sampler_laws import LAWS

from ropewalk import positions


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", positions.names())
def test_sampler(name, law):
    law(positions.get(name))
