"""Every registered method against every law. Nothing here names a method: a new file is examined as it is found."""

import pytest
from contract.method_laws import LAWS, examine

from ropewalk import methods


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", methods.names())
def test_method(name, law):
    examine(law, methods.get(name))


@pytest.mark.parametrize("name", methods.names())
def test_exemptions_name_laws(name):
    assert set(methods.get(name).exemptions) <= {law.__name__ for law in LAWS}
